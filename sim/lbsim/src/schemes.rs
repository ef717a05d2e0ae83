// SPDX-License-Identifier: Apache-2.0
//! Ways to pick a server by the connection alone, as balancers without a table of connections do; for comparison.

/// Entries of a Maglev table: a prime, the size of the paper's small tables.
const MAGLEV_ENTRIES: u64 = 65_537;

/// A way to pick a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scheme {
    /// `hash mod number of servers`.
    Modulo,
    /// Highest random weight: the server with the largest `hash(connection, server)` (Thaler and Ravishankar, 1996).
    Rendezvous,
    /// A table that servers fill in turn by their own permutations (Eisenbud et al., "Maglev", NSDI 2016, 3.4).
    Maglev,
}

impl Scheme {
    /// All of them.
    pub const ALL: [Scheme; 3] = [Scheme::Modulo, Scheme::Rendezvous, Scheme::Maglev];
}

/// A scheme with the servers of a moment.
#[derive(Clone, Debug)]
pub struct Picker {
    scheme: Scheme,
    servers: Vec<usize>,
    /// Of Maglev.
    table: Vec<usize>,
}

impl Picker {
    /// For these servers, in ascending order and at least one.
    pub fn new(scheme: Scheme, servers: &[usize]) -> Picker {
        let table = if scheme == Scheme::Maglev { maglev(servers) } else { Vec::new() };
        Picker { scheme, servers: servers.to_vec(), table }
    }

    /// The server of a connection with this hash.
    pub fn pick(&self, hash: u64) -> usize {
        match self.scheme {
            Scheme::Modulo => self.servers[(hash % self.servers.len() as u64) as usize],
            Scheme::Rendezvous => {
                let weight = |server: &&usize| mix(hash ^ mix(**server as u64 + 1));
                *self.servers.iter().max_by_key(weight).expect("there is a server")
            }
            Scheme::Maglev => self.table[(hash % MAGLEV_ENTRIES) as usize],
        }
    }
}

fn maglev(servers: &[usize]) -> Vec<usize> {
    let entries = MAGLEV_ENTRIES as usize;
    let mut table = vec![usize::MAX; entries];
    let mut turns: Vec<(u64, u64)> = servers
        .iter()
        .map(|server| {
            (
                mix(*server as u64 ^ 0x6f66_6673) % MAGLEV_ENTRIES,
                mix(*server as u64 ^ 0x736b_6970) % (MAGLEV_ENTRIES - 1) + 1,
            )
        })
        .collect();
    let mut filled = 0;
    while filled < entries {
        for (server, (next, skip)) in servers.iter().zip(&mut turns) {
            while table[*next as usize] != usize::MAX {
                *next = (*next + *skip) % MAGLEV_ENTRIES;
            }
            table[*next as usize] = *server;
            filled += 1;
            if filled == entries {
                break;
            }
        }
    }
    table
}

/// Mixes 64 bits (the output function of SplitMix: Steele, Lea, Flood, 2014).
pub fn mix(input: u64) -> u64 {
    let mut z = input.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Share of connections that change their server from four servers to the first three, without those of the fourth.
    fn moved(scheme: Scheme) -> f64 {
        let (four, three) = (Picker::new(scheme, &[0, 1, 2, 3]), Picker::new(scheme, &[0, 1, 2]));
        let stay: Vec<u64> = (0..20_000).map(mix).filter(|hash| four.pick(*hash) != 3).collect();
        assert!((14_500..15_500).contains(&stay.len()), "{scheme:?}: {} of 20000 are not the fourth's", stay.len());
        stay.iter().filter(|hash| four.pick(**hash) != three.pick(**hash)).count() as f64 / stay.len() as f64
    }

    #[test]
    fn a_leave_moves_what_the_schemes_are_known_for() {
        assert_eq!(moved(Scheme::Rendezvous), 0.0);
        let modulo = moved(Scheme::Modulo);
        assert!((0.6..0.73).contains(&modulo), "{modulo}");
        let maglev = moved(Scheme::Maglev);
        // With few servers the table is nearly that of the highest weights.
        assert!((0.0001..0.01).contains(&maglev), "{maglev}");
    }
}
