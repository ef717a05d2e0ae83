// SPDX-License-Identifier: Apache-2.0
//! The bodies: how they are written, read, and what is allowed in them.

use super::{CONNECTIONS_BYTES, ECHO_BYTES, HEARTBEAT_BYTES, MAX_ECHOES, MAX_MAPS, SEQUENCE_LIMIT, tlv};
use crate::api::BITMAP;
use crate::map::MAX_WEIGHT;
use crate::message::{
    Body, Committed, Echo, Fetch, Heartbeat, Holdings, HostId, HostSet, MAX_HOSTS, MAX_RULES, MapIndex, MapPage,
    Message, PAGE_BUCKETS, Phase,
};
use crate::refusal::{Field, Refusal};
use crate::wire::Reader;
use hashgate_tables::BUCKETS;
use std::collections::BTreeMap;
use std::sync::Arc;

const PHASES: [Phase; 7] =
    [Phase::Listening, Phase::Converging, Phase::Idle, Phase::Ready, Phase::Stable, Phase::Excluded, Phase::Suspended];
/// Flags of a heartbeat.
const COMMITTED: u8 = 1;
const ACTIVATE: u8 = 2;
/// In the byte with the host of an echo.
const COUNTED: u8 = 0x80;
/// Bytes of a set of rules: 64 and the default.
const MASK_BYTES: usize = 9;
const MAP_ENTRY_BYTES: usize = 12;
const FETCH_INDEX: u8 = 0;
const FETCH_PAGE: u8 = 1;

pub(super) fn kind(body: &Body) -> u8 {
    match body {
        Body::Heartbeat(_) => tlv::HEARTBEAT,
        Body::Fetch(_) => tlv::FETCH,
        Body::MapIndex(_) => tlv::MAP_INDEX,
        Body::MapPage(_) => tlv::MAP_PAGE,
        Body::Holdings(_) => tlv::HOLDINGS,
    }
}

/// The limits that types do not express. On both sides: what can be sent is what is accepted.
pub(super) fn check(message: &Message) -> Result<(), (Field, u128)> {
    require(Field::Sequence, message.sequence, (1..SEQUENCE_LIMIT).contains(&message.sequence))?;
    match &message.body {
        Body::Heartbeat(it) => check_heartbeat(it),
        Body::Fetch(Fetch::Index { .. }) => Ok(()),
        Body::Fetch(Fetch::Page { first, .. }) => check_first(*first),
        Body::MapIndex(it) => require(Field::Maps, it.maps.len() as u64, (1..=MAX_MAPS).contains(&it.maps.len())),
        Body::MapPage(it) => {
            check_first(it.first)?;
            require(Field::Owners, it.owners.len() as u64, it.owners.len() == PAGE_BUCKETS)?;
            it.weights.values().try_for_each(|it| require(Field::Weight, *it, (1..=MAX_WEIGHT).contains(it)))
        }
        Body::Holdings(it) => {
            require(Field::Rule, it.rule, usize::from(it.rule) <= MAX_RULES)?;
            require(Field::Buckets, it.buckets.len() as u64, it.buckets.len() == BITMAP)
        }
    }
}

fn check_heartbeat(it: &Heartbeat) -> Result<(), (Field, u128)> {
    require(Field::Period, it.period_ms, it.period_ms > 0)?;
    require(Field::Tolerance, it.tolerance, it.tolerance >= 2)?;
    require(Field::Capacity, it.capacity, it.capacity <= 1000)?;
    if let Some(committed) = it.committed {
        let members = committed.view_size;
        require(Field::CommittedView, members, (1..=MAX_HOSTS).contains(&members.into()))?;
    }
    for mask in [it.draining, it.disabled, it.holding] {
        require(Field::RuleMask, mask, mask >> MAX_MAPS == 0)?;
    }
    require(Field::Echoes, it.echoes.len() as u64, it.echoes.len() <= MAX_ECHOES)?;
    let mut of_host = [0; MAX_HOSTS];
    for echo in &it.echoes {
        require(Field::EchoSequence, echo.sequence, echo.sequence < SEQUENCE_LIMIT)?;
        let count = &mut of_host[usize::from(echo.host.get()) - 1];
        *count += 1;
        require(Field::EchoHost, echo.host.get(), *count <= 2)?;
    }
    require(Field::Connections, it.connections.len() as u64, it.connections.len() <= MAX_MAPS)
}

fn check_first(first: u16) -> Result<(), (Field, u128)> {
    let bucket = usize::from(first);
    require(Field::FirstBucket, first, bucket < BUCKETS && bucket.is_multiple_of(PAGE_BUCKETS))
}

fn require(field: Field, value: impl Into<u128>, allowed: bool) -> Result<(), (Field, u128)> {
    if allowed { Ok(()) } else { Err((field, value.into())) }
}

/// Writes a body that was checked.
pub(super) fn write(body: &Body, out: &mut Vec<u8>) {
    match body {
        Body::Heartbeat(it) => write_heartbeat(it, out),
        Body::Fetch(Fetch::Index { from, digest }) => {
            out.extend([FETCH_INDEX, from.get(), 0, 0]);
            out.extend(digest.to_le_bytes());
        }
        Body::Fetch(Fetch::Page { from, crc, first }) => {
            out.extend([FETCH_PAGE, from.get()]);
            out.extend(first.to_le_bytes());
            out.extend(crc.to_le_bytes());
        }
        Body::MapIndex(it) => {
            out.extend(it.digest.to_le_bytes());
            out.extend([it.maps.len() as u8, 0, 0, 0]);
            for (key, crc) in &it.maps {
                out.extend(key.to_le_bytes());
                out.extend(crc.to_le_bytes());
            }
        }
        Body::MapPage(it) => {
            out.extend(it.crc.to_le_bytes());
            out.extend(it.first.to_le_bytes());
            out.extend([0, 0]);
            out.extend(it.weights.keys().fold(0_u32, |set, host| set | bit(*host)).to_le_bytes());
            out.extend(it.owners.iter().map(|owner| owner.map_or(0, HostId::get)));
            for weight in it.weights.values() {
                out.extend((*weight as u16).to_le_bytes());
            }
        }
        Body::Holdings(it) => {
            out.extend(it.proposal.to_le_bytes());
            out.extend([it.rule, 0, 0, 0]);
            out.extend(&it.buckets);
        }
    }
}

fn write_heartbeat(it: &Heartbeat, out: &mut Vec<u8>) {
    let phase = PHASES.iter().position(|phase| *phase == it.phase).expect("all phases are listed");
    let flags = if it.committed.is_some() { COMMITTED } else { 0 } | if it.activate { ACTIVATE } else { 0 };
    out.extend([phase as u8, flags, it.tolerance, it.echoes.len() as u8]);
    out.extend(it.period_ms.to_le_bytes());
    out.extend(it.capacity.to_le_bytes());
    out.extend(it.hold_ms.to_le_bytes());
    out.extend(it.view.0.to_le_bytes());
    out.extend(it.committed.map_or(0, |it| it.epoch).to_le_bytes());
    out.extend(it.committed.map_or(0, |it| it.digest).to_le_bytes());
    out.extend([it.committed.map_or(0, |it| it.view_size), it.committed.map_or(0, |it| it.lowest.get())]);
    out.extend([it.connections.len() as u8, 0]);
    for number in [it.epoch, it.proposal, it.proposed_digest, it.released, it.rules, it.staged] {
        out.extend(number.to_le_bytes());
    }
    for mask in [it.draining, it.disabled, it.holding] {
        out.extend(&mask.to_le_bytes()[..MASK_BYTES]);
    }
    out.push(0);
    for echo in &it.echoes {
        out.push(echo.host.get() | if echo.counted { COUNTED } else { 0 });
        out.extend(&echo.sequence.to_le_bytes()[..5]);
        out.extend(echo.age_ms.to_le_bytes());
        out.extend(echo.incarnation.to_le_bytes());
    }
    for count in &it.connections {
        out.extend(count.to_le_bytes());
    }
}

/// Reads the body of this type. [`check`] is still to be asked.
pub(super) fn read(kind: u8, mut from: Reader) -> Result<Body, Refusal> {
    let body = match kind {
        tlv::HEARTBEAT => Body::Heartbeat(Arc::new(read_heartbeat(&mut from)?)),
        tlv::FETCH => Body::Fetch(read_fetch(&mut from)?),
        tlv::MAP_INDEX => {
            let digest = from.u64()?;
            let count = count(from.u8()?, MAX_MAPS)?;
            from.reserved::<3>()?;
            exactly(&from, count * MAP_ENTRY_BYTES)?;
            let maps = (0..count).map(|_| Ok((from.u64()?, from.u32()?))).collect::<Result<_, Refusal>>()?;
            Body::MapIndex(MapIndex { digest, maps })
        }
        tlv::MAP_PAGE => Body::MapPage(read_page(&mut from)?),
        tlv::HOLDINGS => {
            let (proposal, rule) = (from.u64()?, from.u8()?);
            from.reserved::<3>()?;
            Body::Holdings(Holdings { proposal, rule, buckets: from.take(BITMAP)?.to_vec() })
        }
        _ => return Err(Refusal::Structure),
    };
    from.end()?;
    Ok(body)
}

fn read_heartbeat(from: &mut Reader) -> Result<Heartbeat, Refusal> {
    let fixed = from.left();
    let phase = *PHASES.get(usize::from(from.u8()?)).ok_or(Refusal::Field(Field::Phase))?;
    let flags = from.u8()?;
    if flags & !(COMMITTED | ACTIVATE) != 0 {
        return Err(Refusal::Field(Field::Flags));
    }
    let tolerance = from.u8()?;
    let echoes = count(from.u8()?, MAX_ECHOES)?;
    let (period_ms, capacity, hold_ms, view) = (from.u16()?, from.u16()?, from.u32()?, HostSet(from.u32()?));
    let (committed_epoch, digest, view_size, lowest) = (from.u64()?, from.u64()?, from.u8()?, from.u8()?);
    let committed = if flags & COMMITTED != 0 {
        let lowest = HostId::new(lowest).ok_or(Refusal::Field(Field::CommittedLowest))?;
        Some(Committed { epoch: committed_epoch, view_size, lowest, digest })
    } else if (committed_epoch, digest, view_size, lowest) == (0, 0, 0, 0) {
        None
    } else {
        return Err(Refusal::Field(Field::Committed));
    };
    let connections = count(from.u8()?, MAX_MAPS)?;
    from.reserved::<1>()?;
    let (epoch, proposal, proposed_digest) = (from.u64()?, from.u64()?, from.u64()?);
    let (released, rules, staged) = (from.u64()?, from.u64()?, from.u64()?);
    let (draining, disabled, holding) =
        (from.uint::<MASK_BYTES>()?, from.uint::<MASK_BYTES>()?, from.uint::<MASK_BYTES>()?);
    from.reserved::<1>()?;
    debug_assert_eq!(fixed - from.left(), HEARTBEAT_BYTES);

    exactly(from, echoes * ECHO_BYTES + connections * CONNECTIONS_BYTES)?;
    let echoes = (0..echoes).map(|_| read_echo(from)).collect::<Result<_, _>>()?;
    let connections = (0..connections).map(|_| from.u32()).collect::<Result<_, _>>()?;
    Ok(Heartbeat {
        phase,
        period_ms,
        tolerance,
        hold_ms,
        echoes,
        view,
        committed,
        proposal,
        epoch,
        proposed_digest,
        released,
        rules,
        staged,
        activate: flags & ACTIVATE != 0,
        capacity,
        draining,
        disabled,
        holding,
        connections,
    })
}

fn read_echo(from: &mut Reader) -> Result<Echo, Refusal> {
    let head = from.u8()?;
    let host = HostId::new(head & !COUNTED).ok_or(Refusal::Field(Field::EchoHost))?;
    let sequence = from.uint::<5>()? as u64;
    let (age_ms, incarnation) = (from.u16()?, from.u64()?);
    Ok(Echo { host, incarnation, sequence, age_ms, counted: head & COUNTED != 0 })
}

fn read_fetch(from: &mut Reader) -> Result<Fetch, Refusal> {
    let (kind, host) = (from.u8()?, from.u8()?);
    let host = HostId::new(host).ok_or(Refusal::Field(Field::FetchFrom))?;
    match kind {
        FETCH_INDEX => {
            from.reserved::<2>()?;
            Ok(Fetch::Index { from: host, digest: from.u64()? })
        }
        FETCH_PAGE => {
            let first = from.u16()?;
            Ok(Fetch::Page { from: host, crc: from.u32()?, first })
        }
        _ => Err(Refusal::Field(Field::Fetch)),
    }
}

fn read_page(from: &mut Reader) -> Result<MapPage, Refusal> {
    let (crc, first) = (from.u32()?, from.u16()?);
    from.reserved::<2>()?;
    let hosts = from.u32()?;
    exactly(from, PAGE_BUCKETS + 2 * hosts.count_ones() as usize)?;
    let owner = |byte: &u8| match byte {
        0 => Ok(None),
        id => HostId::new(*id).map(Some).ok_or(Refusal::Field(Field::Owner)),
    };
    let owners = from.take(PAGE_BUCKETS)?.iter().map(owner).collect::<Result<_, _>>()?;
    let mut weights = BTreeMap::new();
    for host in (1..=MAX_HOSTS as u8).filter_map(HostId::new).filter(|host| hosts & bit(*host) != 0) {
        weights.insert(host, from.u16()?.into());
    }
    Ok(MapPage { crc, first, weights, owners })
}

/// A number of entries within its limit.
fn count(number: u8, limit: usize) -> Result<usize, Refusal> {
    let number = usize::from(number);
    if number <= limit { Ok(number) } else { Err(Refusal::TooMany) }
}

/// Exactly so many bytes are left, before anything is made of them.
fn exactly(from: &Reader, bytes: usize) -> Result<(), Refusal> {
    if from.left() == bytes { Ok(()) } else { Err(Refusal::Length) }
}

fn bit(host: HostId) -> u32 {
    1 << (host.get() - 1)
}
