// SPDX-License-Identifier: Apache-2.0
//! Keys of heartbeats, from their files.

use anyhow::{Result, anyhow};
use hashgate_cluster::auth::{Auth, Keys};
use hashgate_config::Config;
use hashgate_config::daemon::{AuthFiles, read_key};
use std::collections::BTreeMap;

/// How frames of this cluster are authenticated.
///
/// # Errors
/// One line if nothing was said about it, or a file cannot be read.
pub fn auth(config: &Config) -> Result<Auth> {
    match &config.daemon.auth {
        None => Err(anyhow!(
            "[cluster] says nothing about auth: give it auth = {{ sign = 1, keys = {{ 1 = \"/etc/hashgate/key\" }} }}, or write auth = \"none\" if whoever reaches the network may be a member"
        )),
        Some(AuthFiles::None) => Ok(Auth::None),
        Some(AuthFiles::Keys { sign, files }) => {
            let keys = files.iter().map(|(number, path)| Ok((*number, read_key(path)?)));
            let keys: BTreeMap<u8, Vec<u8>> = keys.collect::<Result<_, String>>().map_err(|text| anyhow!(text))?;
            Ok(Auth::Keys(Keys::new(*sign, keys.iter().map(|(number, key)| (*number, &key[..])))?))
        }
    }
}
