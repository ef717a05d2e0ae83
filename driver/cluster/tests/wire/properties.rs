// SPDX-License-Identifier: Apache-2.0
//! What holds for any bytes. For the fuzz targets (`fuzz/fuzz_targets`) and for the test that runs everywhere (`hostile.rs`).

use hashgate_cluster::auth::{Auth, Keys};
use hashgate_cluster::control::{ControlClient, ControlServer, MAX_DATAGRAM, Outcome, Received, Request};
use hashgate_cluster::frame::{Codec, MAX_FRAME, Refusal};
use hashgate_cluster::membership::Membership;
use hashgate_cluster::message::{HostId, HostSet};
use std::net::Ipv4Addr;

const CLUSTER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 10);
/// Bytes of the part with the code.
const CODE: usize = 20;
/// Where a frame says its minor version and the key.
const MINOR: usize = 18;
const KEY: usize = 54;
/// Where a datagram says the key.
const CONTROL_KEY: usize = 7;

/// A message that is accepted can be written again, gives the same bytes, and is refused by whoever has keys that the writer does not have.
/// Says what became of the bytes without their code.
pub fn frame(bytes: &[u8]) -> Result<(), Refusal> {
    let keys = Keys::new(1, [(1, &[0x5a; 32][..])]).expect("the key is good");
    let keyed = Codec::new(CLUSTER, Auth::Keys(keys));
    assert!(keyed.decode(bytes).is_err(), "nobody knows this key");

    let mut bytes = bytes.to_vec();
    if let Some(before) = bytes.len().checked_sub(CODE).filter(|at| bytes[*at..].starts_with(&[0xff, 0, 16, 0])) {
        bytes.truncate(before);
        bytes.get_mut(KEY).into_iter().for_each(|key| *key = 0);
    }
    let open = Codec::new(CLUSTER, Auth::None);
    let message = open.decode(&bytes)?;
    let [to, from] = [0, 6].map(|at| bytes[at..at + 6].try_into().expect("it was decoded"));
    let host_ip: [u8; 4] = bytes[30..34].try_into().expect("it was decoded");
    let again = open.encode(&message, from, to, host_ip.into()).expect("what is accepted can be sent");
    assert!(again.len() <= bytes.len() && bytes.len() <= MAX_FRAME);
    if again.len() == bytes.len() && bytes[MINOR] == 0 {
        assert_eq!(again, bytes, "there is one way to write a message");
    }
    assert_eq!(open.decode(&again), Ok(message.clone()));
    let signed = keyed.encode(&message, from, to, host_ip.into()).expect("there is room for the code");
    assert_eq!(keyed.decode(&signed), Ok(message));
    Ok(())
}

/// A membership frame that is accepted gives the same bytes again.
pub fn membership(bytes: &[u8]) -> Result<(), Refusal> {
    let it = Membership::decode(bytes)?;
    let [to, from] = [0, 6].map(|at| bytes[at..at + 6].try_into().expect("it was decoded"));
    assert_eq!(it.encode(from, to), bytes, "there is one way to write it");
    Ok(())
}

/// Neither end minds what comes, and a host goes on answering.
pub fn control(bytes: &[u8]) -> Result<(), Refusal> {
    let host = |id| HostId::new(id).expect("1..=32");
    let everybody = HostSet(u32::MAX);
    let client = |auth, id| ControlClient::new(CLUSTER, auth, id, everybody, Request::Stop).expect("it is legal");
    let keys = Keys::new(1, [(1, &[0x5a; 32][..])]).expect("the key is good");
    let keyed = || Auth::Keys(keys.clone());
    assert!(ControlServer::new(CLUSTER, keyed(), host(3), 0x1003, true).receive(0, bytes).is_err());
    assert!(client(keyed(), 1).receive(bytes).is_err());

    let mut bytes = bytes.to_vec();
    if bytes.get(CONTROL_KEY).is_some_and(|key| *key != 0) {
        bytes[CONTROL_KEY] = 0;
        bytes.truncate(bytes.len().saturating_sub(16));
    }
    // As in the golden conversation.
    let mut server = ControlServer::new(CLUSTER, Auth::None, host(3), 0x1003, true);
    let mut asking = client(Auth::None, 0x0102_0304_0506_0708);
    let exchange = |server: &mut ControlServer, client: &mut ControlClient| {
        let Ok(Received::Reply(challenge)) = server.receive(0, &client.hello()) else { panic!("no challenge") };
        client.receive(&challenge).expect("the challenge is good");
    };
    exchange(&mut server, &mut asking);
    let mut result = asking.receive(&bytes);
    match server.receive(1, &bytes) {
        Ok(Received::Reply(reply)) => {
            assert!(reply.len() <= MAX_DATAGRAM);
            result = Ok(());
        }
        Ok(Received::Execute(ticket, _)) => {
            assert!(server.answer(ticket, Outcome::Done, "done", false).is_some());
            result = Ok(());
        }
        Ok(Received::Pending) => panic!("nothing is being carried out"),
        // One of the two ends it is for.
        Err(Refusal::Kind) => {}
        Err(refusal) => result = result.or(Err(refusal)),
    }
    let mut next = client(Auth::None, 2);
    exchange(&mut server, &mut next);
    let request = next.request().expect("a host is there");
    assert!(matches!(server.receive(2, &request), Ok(Received::Execute(_, Request::Stop))));
    result
}
