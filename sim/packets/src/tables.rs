// SPDX-License-Identifier: Apache-2.0
//! Random tables and random changes of them.

use hashgate_regs::defs::{Mode, Track, VipKind};
use hashgate_tables::{
    BUCKETS, BucketFlags, KeyMask, Limits, Mac, MatchSlot, NOBODY, OtherIp, Rule, STANDARD_HASH_KEY, Settings, Tables,
    Target, Timeouts, Vip,
};
use rand::Rng;
use rand::SeedableRng;
use rand::seq::{IndexedMutRandom, IndexedRandom, SliceRandom};
use rand_chacha::ChaCha8Rng;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Maps that random tables never have owners for, so that rules that name one are answered with `map-invalid`
/// however long a NIC runs.
pub const NEVER_COMMITTED: std::ops::RangeInclusive<u8> = 40..=43;
/// Maps that random tables use besides that of the default rule.
const USED_MAPS: std::ops::RangeInclusive<u8> = 0..=3;
/// Ticks that most random time-outs do not exceed.
const SHORT: u16 = 60;
/// Zones of random tables.
const ZONES: u8 = 3;

/// What random tables are to contain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Some rules, maps and targets are missing where something refers to them. Such tables do not validate; load
    /// them unchecked.
    pub dangling: bool,
    /// As many addresses and multicast MACs as the limits allow.
    pub full: bool,
}

/// Random tables within the limits.
pub fn tables(seed: u64, limits: &Limits, options: Options) -> Tables {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let rng = &mut rng;
    let mut tables = Tables { settings: settings(rng), ..Tables::default() };

    for port in 0..limits.ports {
        for zone in 0..ZONES {
            for _ in 0..2 {
                tables.zones.insert((port, rng.random_range(1..4096)), zone);
            }
        }
        if rng.random_bool(0.5) {
            tables.zones.insert((port, 0), rng.random_range(0..ZONES));
        }
    }
    let groups = if options.full { limits.multicast } else { rng.random_range(1..20) };
    while tables.multicast.len() < groups.into() {
        tables.multicast.insert(multicast(rng));
    }
    vips(rng, limits, options, &mut tables);
    targets(rng, limits, &mut tables);

    let maps: Vec<u8> = USED_MAPS.filter(|m| *m < limits.maps).chain([limits.maps - 1]).collect();
    for &map in &maps {
        let owners = owners(rng, &tables);
        tables.maps.insert(map, owners);
        for _ in 0..BUCKETS {
            tables.flags.insert((map, rng.random_range(0..BUCKETS as u16)), flags(rng));
        }
    }
    let numbers: BTreeSet<u8> = (0..12).map(|_| rng.random_range(0..limits.rules)).chain([limits.rules]).collect();
    for number in numbers {
        let rule = rule(rng, &maps);
        tables.rules.insert(number, rule);
    }
    slots(rng, limits, &mut tables);

    if options.dangling {
        let rules: Vec<u8> = tables.rules.keys().copied().collect();
        for rule in rules {
            match rng.random_range(0..10) {
                0 => drop(tables.rules.remove(&rule).is_some()),
                1 | 2 => tables.rules.get_mut(&rule).expect("listed").map = rng.random_range(NEVER_COMMITTED),
                _ => {}
            }
        }
        tables.targets.retain(|_, _| rng.random_bool(0.8));
    }
    tables
}

/// Random settings. The MAC addresses and the hash key are random too.
pub fn settings(rng: &mut impl Rng) -> Settings {
    let mut hash_key = STANDARD_HASH_KEY;
    if rng.random_bool(0.7) {
        rng.fill(&mut hash_key[..]);
    }
    let mut settings = Settings {
        station_mac: unicast(rng),
        cluster_mac: if rng.random_bool(0.8) { unicast(rng) } else { multicast(rng) },
        mask_mac: unicast(rng),
        hash_key,
        ..Settings::default()
    };
    switch(rng, &mut settings);
    settings
}

/// Random values for the settings that change how frames are decided and that may change while frames are received:
/// all but the MAC addresses and the hash key.
pub fn switch(rng: &mut impl Rng, settings: &mut Settings) {
    settings.mask_source = rng.random();
    settings.icmp_owner = rng.random();
    settings.other_ip = *[OtherIp::Deliver, OtherIp::Discard, OtherIp::Balance].choose(rng).expect("not empty");
    settings.promiscuous = rng.random_bool(0.1);
    settings.all_multicast = rng.random_bool(0.2);
}

/// Random flags for a random bucket of a map that has owners.
pub fn flag_change(rng: &mut impl Rng, tables: &Tables) -> (u8, u16, BucketFlags) {
    let maps: Vec<u8> = tables.maps.keys().copied().collect();
    let map = maps.choose(rng).copied().unwrap_or(0);
    (map, rng.random_range(0..BUCKETS as u16), flags(rng))
}

/// Changes one entry of one shadowed table, or a range of owners of one map. The result validates if `tables` does,
/// unless `dangling` is set, which also takes rules and targets away.
pub fn change(rng: &mut impl Rng, limits: &Limits, tables: &mut Tables, dangling: bool) {
    loop {
        let mut changed = tables.clone();
        change_once(rng, limits, &mut changed, dangling);
        let fits = changed.multicast.len() <= limits.multicast.into() && changed.vips.len() <= limits.vips.into();
        if changed != *tables && fits && (dangling || changed.validate(limits).is_ok()) {
            *tables = changed;
            return;
        }
    }
}

fn change_once(rng: &mut impl Rng, limits: &Limits, tables: &mut Tables, dangling: bool) {
    let rules: Vec<u8> = tables.rules.keys().copied().collect();
    let maps: Vec<u8> = tables.maps.keys().copied().collect();
    let ids: Vec<u16> = tables.targets.keys().copied().collect();
    // Rules and targets that something refers to, with or without an entry.
    let named = tables.slots.iter().flatten().map(|s| s.rule).collect::<Vec<u8>>().choose(rng).copied();
    let owner = maps.choose(rng).map(|map| tables.maps[map][rng.random_range(0..BUCKETS)]).filter(|o| *o != NOBODY);
    match rng.random_range(0..14) {
        0 => {
            let place = (rng.random_range(0..limits.ports), rng.random_range(0..4096));
            tables.zones.insert(place, rng.random_range(0..ZONES));
        }
        1 => {
            let places: Vec<_> = tables.zones.keys().copied().collect();
            if let Some(place) = places.choose(rng) {
                tables.zones.insert(*place, rng.random_range(0..ZONES));
            }
        }
        2 => match tables.multicast.first().copied() {
            Some(first) if rng.random() => drop(tables.multicast.remove(&first)),
            _ => drop(tables.multicast.insert(multicast(rng))),
        },
        3 => {
            if let Some(vip) = tables.vips.choose_mut(rng) {
                vip.kind = if vip.kind == VipKind::Vip { VipKind::Dedicated } else { VipKind::Vip };
            }
        }
        4 => {
            let fresh = vip(rng, tables);
            match tables.vips.choose_mut(rng) {
                Some(vip) => vip.addr = fresh.addr,
                None => tables.vips.push(fresh),
            }
        }
        5 | 6 => {
            if let Some(Some(slot)) = tables.slots.choose_mut(rng) {
                match rng.random_range(0..4) {
                    0 => slot.fragment = !slot.fragment,
                    1 => slot.ports.0 = rng.random_range(slot.ports.0..=slot.ports.1),
                    2 => slot.tcp = !slot.tcp,
                    _ => slot.rule = *rules.choose(rng).unwrap_or(&slot.rule),
                }
            }
        }
        7..=10 => {
            let number = if rng.random() { limits.rules } else { named.unwrap_or(limits.rules) };
            // Drained, or no longer, while its sessions run.
            if rng.random_bool(0.25)
                && let Some(rule) = tables.rules.get_mut(&number)
            {
                rule.draining = !rule.draining;
                return;
            }
            if dangling && rng.random_bool(0.12) {
                tables.rules.remove(&number);
            } else {
                let rule = rule(rng, &maps);
                tables.rules.insert(number, rule);
                if dangling && rng.random_bool(0.2) {
                    tables.rules.get_mut(&number).expect("inserted").map = rng.random_range(NEVER_COMMITTED);
                }
            }
        }
        11 => {
            let candidates: Vec<u16> = ids.iter().copied().chain([NOBODY]).collect();
            let owner = *candidates.choose(rng).expect("has nobody");
            if let Some(owners) = maps.choose(rng).and_then(|m| tables.maps.get_mut(m)) {
                let (a, b) = (rng.random_range(0..BUCKETS), rng.random_range(0..BUCKETS));
                owners[a.min(b)..=a.max(b)].fill(owner);
            }
        }
        _ => {
            if let Some(id) = owner {
                if rng.random_bool(0.25)
                    && let Some(target) = tables.targets.get_mut(&id)
                {
                    target.draining = !target.draining;
                } else if dangling && rng.random_bool(0.3) {
                    tables.targets.remove(&id);
                } else {
                    let target = target(rng, limits);
                    tables.targets.insert(id, target);
                }
            }
        }
    }
}

/// A random unicast MAC.
pub fn unicast(rng: &mut impl Rng) -> Mac {
    let mut mac: [u8; 6] = rng.random();
    mac[0] &= 0xfe;
    Mac(mac)
}

/// A random multicast MAC.
pub fn multicast(rng: &mut impl Rng) -> Mac {
    let mut mac: [u8; 6] = rng.random();
    match rng.random_range(0..3) {
        0 => (mac[0], mac[1], mac[2]) = (0x01, 0x00, 0x5e),
        1 => (mac[0], mac[1]) = (0x33, 0x33),
        _ => mac[0] |= 1,
    }
    Mac(mac)
}

/// A random unicast IPv4 address.
pub fn ip4(rng: &mut impl Rng) -> Ipv4Addr {
    Ipv4Addr::new(rng.random_range(1..224), rng.random(), rng.random(), rng.random())
}

/// A random unicast IPv6 address.
pub fn ip6(rng: &mut impl Rng) -> Ipv6Addr {
    Ipv6Addr::from_bits(rng.random::<u128>() >> 3 | 1 << 125)
}

fn vip(rng: &mut impl Rng, tables: &Tables) -> Vip {
    // Few ids, so that slots that name one are hit, and shared ones.
    let ids: Vec<u16> = tables.vips.iter().map(|v| v.id).collect();
    let id = if ids.len() < 8 { rng.random_range(0..512) } else { *ids.choose(rng).expect("not empty") };
    let addr = if rng.random() { IpAddr::V4(ip4(rng)) } else { IpAddr::V6(ip6(rng)) };
    Vip { zone: rng.random_range(0..ZONES), addr, kind: VipKind::Vip, id }
}

fn vips(rng: &mut impl Rng, limits: &Limits, options: Options, tables: &mut Tables) {
    // Every zone has VIPs and dedicated addresses of both versions; some addresses are in several zones.
    for zone in 0..ZONES {
        for n in 0..3 {
            for addr in [IpAddr::V4(ip4(rng)), IpAddr::V6(ip6(rng))] {
                let kind = if n == 0 { VipKind::Dedicated } else { VipKind::Vip };
                let new = Vip { zone, addr, kind, ..vip(rng, tables) };
                tables.vips.push(new);
                if n == 2 && zone > 0 && rng.random() {
                    tables.vips.push(Vip { zone: 0, kind: VipKind::Dedicated, ..new });
                }
            }
        }
    }
    let count = if options.full { limits.vips.into() } else { tables.vips.len() + rng.random_range(0..20) };
    while tables.vips.len() < count {
        let new = vip(rng, tables);
        if !tables.vips.iter().any(|v| v.zone == new.zone && v.addr == new.addr) {
            tables.vips.push(new);
        }
    }
    tables.vips.shuffle(rng);
}

fn targets(rng: &mut impl Rng, limits: &Limits, tables: &mut Tables) {
    let last = (limits.targets - 1).min(NOBODY - 1);
    let ids: BTreeSet<u16> = (0..20).map(|_| rng.random_range(0..=last)).chain([0, last]).collect();
    for id in ids {
        let target = target(rng, limits);
        tables.targets.insert(id, target);
    }
}

fn target(rng: &mut impl Rng, limits: &Limits) -> Target {
    match rng.random_range(0..7) {
        0 => Target::discard(),
        1..4 => Target { bind: rng.random_bool(0.7), ..Target::forward(rng.random_range(0..limits.ports)) },
        _ => Target { draining: rng.random_bool(0.25), bind: rng.random_bool(0.9), ..Target::deliver(rng.random()) },
    }
}

fn owners(rng: &mut impl Rng, tables: &Tables) -> Vec<u16> {
    let ids: Vec<u16> = tables.targets.keys().copied().collect();
    let binding: Vec<u16> = tables.targets.iter().filter(|(_, target)| target.bind).map(|(id, _)| *id).collect();
    let single = rng.random_bool(0.2).then(|| *ids.choose(rng).expect("not empty"));
    let owner = |rng: &mut _| match single {
        Some(id) => id,
        None if Rng::random_bool(rng, 0.18) => NOBODY,
        None if !binding.is_empty() && Rng::random_bool(rng, 0.6) => *binding.choose(rng).expect("not empty"),
        None => *ids.choose(rng).expect("not empty"),
    };
    (0..BUCKETS).map(|_| owner(rng)).collect()
}

fn flags(rng: &mut impl Rng) -> BucketFlags {
    BucketFlags { handover: rng.random_bool(0.4), track: rng.random_bool(0.7) }
}

fn mask(rng: &mut impl Rng) -> KeyMask {
    match rng.random_range(0..5) {
        0 => KeyMask::ALL,
        1 => KeyMask::SOURCE,
        2 => KeyMask::CLASS_C,
        _ => KeyMask {
            src4: rng.random_range(0..=32),
            src6: rng.random_range(0..=128),
            dst: rng.random(),
            sport: rng.random(),
            dport: rng.random(),
        },
    }
}

fn rule(rng: &mut impl Rng, maps: &[u8]) -> Rule {
    // Mostly without ports for affinity, so that sessions of a client share it.
    let affinity = rng.random_bool(0.6);
    let mut masks = || {
        let mask = mask(rng);
        if affinity && rng.random_bool(0.8) { KeyMask { sport: false, dport: false, ..mask } } else { mask }
    };
    let (bucket, more) = (masks(), masks());
    let binding = KeyMask {
        src4: bucket.src4.max(more.src4),
        src6: bucket.src6.max(more.src6),
        dst: bucket.dst || more.dst,
        sport: bucket.sport || more.sport,
        dport: bucket.dport || more.dport,
    };
    Rule {
        mode: match rng.random_range(0..10) {
            0 => Mode::Disabled,
            1..5 => Mode::Multiple,
            _ => Mode::Single,
        },
        draining: rng.random_bool(0.25),
        track: *[Track::Never, Track::Flagged, Track::Always, Track::Always].choose(rng).expect("policies"),
        map: *maps.choose(rng).unwrap_or(&0),
        affinity,
        // Few, so that rules share affinity bindings.
        group: rng.random_range(0..2),
        bucket,
        binding,
        timeouts: timeouts(rng),
    }
}

/// Time-outs of which most end within a test.
fn timeouts(rng: &mut impl Rng) -> Timeouts {
    let mut ticks = || match rng.random_range(0..8) {
        0 => Timeouts::MAX,
        1 | 2 => rng.random_range(1..=3),
        _ => rng.random_range(1..=SHORT),
    };
    Timeouts {
        half_open: ticks(),
        reset: ticks(),
        established: ticks(),
        closing: ticks(),
        flow: ticks(),
        affinity: ticks(),
    }
}

/// Slots for some VIP ids and for any VIP: disjoint port ranges for each, with gaps, in random places of the table.
fn slots(rng: &mut impl Rng, limits: &Limits, tables: &mut Tables) {
    let rules: Vec<u8> = tables.rules.keys().copied().collect();
    let mut owners: Vec<Option<u16>> =
        tables.vips.iter().filter(|v| v.kind == VipKind::Vip).map(|v| Some(v.id)).collect();
    owners.sort_unstable();
    owners.dedup();
    owners.shuffle(rng);
    owners.truncate(6);
    if rng.random() {
        owners.push(None);
    }
    let mut made = Vec::new();
    for vip in owners {
        let fragments = if rng.random() { 0.0 } else { 0.25 };
        let mut edges = vec![rng.random_range(0..300), 500, 501, 1723, 1724, 65535];
        edges.extend((0..3).map(|_| rng.random_range(0..=u16::MAX)));
        edges.sort_unstable();
        edges.dedup();
        for pair in edges.windows(2) {
            let slot = MatchSlot {
                vip,
                tcp: true,
                udp: true,
                ports: (pair[0], if pair[1] == u16::MAX { pair[1] } else { pair[1] - 1 }),
                fragment: rng.random_bool(fragments),
                rule: *rules.choose(rng).expect("has the default rule"),
            };
            match rng.random_range(0..7) {
                0 | 1 => made.push(slot),
                2 => made.push(MatchSlot { udp: false, ..slot }),
                3 => made.push(MatchSlot { tcp: false, ..slot }),
                4 => {
                    made.push(MatchSlot { udp: false, ..slot });
                    made.push(MatchSlot { tcp: false, rule: *rules.choose(rng).expect("rules"), ..slot });
                }
                _ => {}
            }
        }
    }
    made.shuffle(rng);
    made.truncate(limits.rules.into());
    tables.slots = made.into_iter().map(Some).collect();
    tables.slots.resize(limits.rules.into(), None);
    tables.slots.shuffle(rng);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_tables_validate_and_dangling_ones_do_not() {
        let limits = Limits { ports: 2, ..Limits::default() };
        let [mut refused, mut sticky, mut shared, mut short] = [0; 4];
        let mut tracks = [0; 3];
        for seed in 0..40 {
            let full = seed % 8 == 0;
            let made = tables(seed, &limits, Options { dangling: false, full });
            assert_eq!(made.validate(&limits), Ok(()), "seed {seed}");
            assert_eq!(made, tables(seed, &limits, Options { dangling: false, full }), "seed {seed} repeats");
            assert!(!full || (made.vips.len(), made.multicast.len()) == (512, 512));
            assert!(made.slots.iter().flatten().count() > 8, "seed {seed} has slots");
            for rule in made.rules.values() {
                sticky += u32::from(rule.affinity);
                shared += u32::from(made.rules.values().filter(|r| r.affinity && r.group == rule.group).count() > 1);
                short += u32::from(rule.timeouts.named().iter().any(|(_, ticks)| *ticks <= SHORT));
                for (n, track) in [Track::Never, Track::Flagged, Track::Always].into_iter().enumerate() {
                    tracks[n] += u32::from(rule.track == track);
                }
            }
            refused += u32::from(tables(seed, &limits, Options { dangling: true, full }).validate(&limits).is_err());
        }
        assert!(refused > 30, "{refused} of 40 dangling tables are refused");
        assert!(sticky > 100 && shared > 100 && short > 300, "{sticky} sticky, {shared} in one group, {short} short");
        assert!(tracks.iter().all(|rules| *rules > 50), "never, flagged, always: {tracks:?}");
    }

    #[test]
    fn changes_keep_tables_valid() {
        let limits = Limits { ports: 2, ..Limits::default() };
        let mut rng = ChaCha8Rng::seed_from_u64(5);
        let mut made = tables(1, &limits, Options { dangling: false, full: false });
        for n in 0..200 {
            let before = made.clone();
            change(&mut rng, &limits, &mut made, false);
            assert_ne!(before, made, "change {n}");
            assert_eq!(made.validate(&limits), Ok(()), "change {n}");
        }
    }
}
