//! What operators do to destinations.

use super::{Desk, Log};
use crate::clock::Timestamp;
use crate::dispatcher::breaker::Breaker;
use crate::dispatcher::class::Streak;
use crate::dispatcher::line::{Delivery, conversion_number};
use crate::dispatcher::owed::Destination;
use crate::event::decision::Decision;
use crate::event::delivery::{DestinationChange, DestinationEvent};
use crate::store::Position;

impl Desk {
    /// Sends nothing more until `resume`.
    pub fn pause(&mut self, index: usize, why: &str, now: Timestamp, log: &mut dyn Log) {
        let Some(station) = self.stations.get_mut(index).filter(|station| station.paused.is_none()) else {
            return;
        };
        station.paused = Some(why.into());
        log.event(&DestinationEvent {
            time: now,
            change: DestinationChange::Paused,
            decision: 0,
            destination: &station.id,
            detail: why.as_bytes(),
        });
        self.look_at(index);
    }

    /// Goes on.
    pub fn resume(&mut self, index: usize, now: Timestamp, log: &mut dyn Log) {
        let Some(station) = self.stations.get_mut(index).filter(|station| station.paused.is_some()) else {
            return;
        };
        station.paused = None;
        (station.streak, station.breaker) = (Streak::default(), Breaker::default());
        log.event(&DestinationEvent {
            time: now,
            change: DestinationChange::Resumed,
            destination: &station.id,
            ..DestinationEvent::default()
        });
        self.hungry.insert(index);
        self.open(index);
    }

    /// Opens a delivery again that had ended. Says whether it did.
    pub fn reopen(
        &mut self,
        index: usize,
        at: Position,
        owed: &Reopened,
        now: Timestamp,
        log: &mut dyn Log,
    ) -> bool {
        let site = self.site(&owed.site);
        let Some(station) = self.stations.get_mut(index) else { return false };
        if station.line.delivery(at).is_some() || !station.line.has_room() {
            return false;
        }
        let is_open = station.line.progress.reopen(at);
        // One that the log has not come to since the start is begun when it does.
        if !is_open && !station.line.progress.forget_end(at) {
            return false;
        }
        log.event(&DestinationEvent {
            time: now,
            change: DestinationChange::Reopened,
            decision: at.to_u64(),
            destination: &station.id,
            detail: &[],
        });
        let delivery = Delivery::new(owed.conversion, site, now, None).reopened();
        if is_open {
            station.line.add(at, delivery, None, now);
        } else {
            station.remembered.extend(delivery.remembered().map(|remembered| (at.to_u64(), remembered)));
        }
        self.look_at(index);
        true
    }
}

/// What a delivery that is opened again needs to be known by.
#[derive(Clone, Debug)]
pub struct Reopened {
    /// See `conversion_number`.
    pub conversion: u64,
    /// See `Outbound::site`.
    pub site: Box<str>,
}

impl Reopened {
    /// Of a decision and how its destination is told of it.
    pub fn of(decision: &Decision<'_>, destination: &Destination) -> Self {
        Self {
            conversion: conversion_number(decision.conversion_id),
            site: destination.outbound.site.clone(),
        }
    }
}
