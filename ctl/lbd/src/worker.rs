// SPDX-License-Identifier: Apache-2.0
//! The thread that works on the NIC's tables. What the protocol wants comes before what people want.

use crate::bell::Bell;
use crate::clock::bounds;
use crate::dataplane::Dataplane;
use anyhow::Result;
use hashgate_cluster::api::{Commit, Event};
use hashgate_cluster::message::Committed;
use hashgate_config::Config;
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Jobs of people and programs that may wait; more are refused.
const WAITING: usize = 64;

/// What the protocol wants.
#[derive(Debug)]
pub enum Job {
    Commit(Commit),
    /// With a number for the answer.
    Handover(u64, Vec<(u8, Vec<u8>)>),
    HandBindings(u64),
    CountHoldings(u64),
    Disable(u128),
    Activate(Arc<Config>),
    Remember(Committed),
    /// Read what changes slowly.
    Look,
}

/// What came of it.
#[derive(Debug)]
pub enum Done {
    Event(Event),
    Handover(u64),
    /// What changes slowly.
    Look(Look),
    /// The NIC, or this side of it, cannot go on.
    Failed(anyhow::Error),
}

/// What changes slowly.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// The NIC does not answer.
    pub gone: bool,
    /// It takes no VIP traffic.
    pub lease_expired: bool,
    /// Bounds of NIC time, see [`crate::clock::bounds`].
    pub bounds: (i64, i64),
    /// Sessions made since the reset.
    pub created: u64,
    /// Connections that live.
    pub used: u32,
}

/// What somebody wants to do with the NIC.
type Call = Box<dyn FnOnce(&mut Dataplane) + Send>;

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    calls: VecDeque<Call>,
    done: VecDeque<Done>,
    ended: bool,
}

/// The worker, from outside.
#[derive(Clone)]
pub struct Worker {
    shared: Arc<(Mutex<Queue>, Condvar)>,
    bell: Bell,
}

impl Worker {
    /// Starts it; `bell` rings when something is done.
    pub fn start(dataplane: Dataplane, bell: Bell) -> std::io::Result<(Worker, JoinHandle<()>)> {
        let worker = Worker { shared: Arc::default(), bell };
        let own = worker.clone();
        let thread = std::thread::Builder::new().name("nic".into()).spawn(move || own.work(dataplane))?;
        Ok((worker, thread))
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Queue> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Jobs are done in their order.
    pub fn push(&self, job: Job) {
        self.queue().jobs.push_back(job);
        self.shared.1.notify_one();
    }

    /// Does something with the NIC as soon as the protocol has nothing to do. `None`: too many wait already, or it has ended.
    pub async fn call<T: Send + 'static>(&self, what: impl FnOnce(&mut Dataplane) -> T + Send + 'static) -> Option<T> {
        let (send, receive) = tokio::sync::oneshot::channel();
        {
            let mut queue = self.queue();
            if queue.calls.len() >= WAITING || queue.ended {
                return None;
            }
            queue.calls.push_back(Box::new(move |dataplane: &mut Dataplane| {
                // Whoever asked may have gone.
                let _ = send.send(what(dataplane));
            }));
        }
        self.shared.1.notify_one();
        receive.await.ok()
    }

    /// What was done since the last time.
    pub fn take_done(&self) -> VecDeque<Done> {
        std::mem::take(&mut self.queue().done)
    }

    /// Ends the thread when its jobs are done; calls that wait get no answer.
    pub fn end(&self) {
        let mut queue = self.queue();
        queue.ended = true;
        queue.calls.clear();
        drop(queue);
        self.shared.1.notify_one();
    }

    fn work(&self, mut dataplane: Dataplane) {
        enum Next {
            Job(Job),
            Call(Call),
        }
        loop {
            let next = {
                let mut queue = self.queue();
                loop {
                    if let Some(job) = queue.jobs.pop_front() {
                        break Next::Job(job);
                    }
                    if queue.ended {
                        return;
                    }
                    if let Some(call) = queue.calls.pop_front() {
                        break Next::Call(call);
                    }
                    queue = self.shared.1.wait(queue).unwrap_or_else(PoisonError::into_inner);
                }
            };
            match next {
                Next::Call(call) => call(&mut dataplane),
                Next::Job(job) => {
                    let done = match carry_out(&mut dataplane, job) {
                        Ok(None) => continue,
                        Ok(Some(done)) => done,
                        Err(error) => Done::Failed(error),
                    };
                    self.queue().done.push_back(done);
                    self.bell.ring();
                }
            }
        }
    }
}

fn carry_out(dataplane: &mut Dataplane, job: Job) -> Result<Option<Done>> {
    Ok(match job {
        Job::Commit(commit) => {
            dataplane.commit(&commit)?;
            Some(Done::Event(Event::Committed(commit.number)))
        }
        Job::Handover(number, changes) => {
            dataplane.set_handover(&changes)?;
            Some(Done::Handover(number))
        }
        Job::HandBindings(proposal) => {
            dataplane.hand_bindings()?;
            Some(Done::Event(Event::BindingsHanded(proposal)))
        }
        Job::CountHoldings(proposal) => {
            let rules = dataplane.holdings()?;
            Some(Done::Event(Event::Holdings { proposal, rules }))
        }
        Job::Disable(rules) => {
            dataplane.disable(rules)?;
            None
        }
        Job::Activate(config) => {
            dataplane.activate(config)?;
            None
        }
        Job::Look => {
            let registers = dataplane.nic().registers();
            Some(Done::Look(Look {
                gone: registers.id() == u32::MAX,
                lease_expired: registers.status().lease_expired,
                bounds: bounds(|| registers.time_ns()),
                created: registers.binding_created(0) + registers.binding_created(1),
                used: registers.binding_used(0),
            }))
        }
        Job::Remember(committed) => {
            dataplane.remember(committed)?;
            None
        }
    })
}
