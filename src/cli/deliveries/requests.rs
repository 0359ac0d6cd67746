//! The requests of deliveries as they would be made now, by the catalog of today.
//!
//! In: settings, which say where the catalog is; deliveries. Out: the request of each, or why there is none, in words.
//! Keeps: of a secret, and of what is made with one, `***` is shown.

use std::io::Write;
use std::path::PathBuf;

use serde::Serialize;

use crate::batch::deliveries::{self, Row};
use crate::cli::{Failure, plain, write_request};
use crate::clock::Clock;
use crate::config::{self, Egress, Settings, catalog};
use crate::dispatcher::destinations::Destinations;
use crate::dispatcher::request::{Moment, Shown, show_now};
use crate::store::reader::{self, Reader};

/// A request, or why there is none.
pub(super) type Made = Result<Shown, String>;

/// See the module.
pub(super) struct Requests {
    destinations: Result<Destinations, String>,
    path: PathBuf,
    clock: Clock,
    shown: reader::Shown,
}

/// A delivery with its request, for programs.
#[derive(Debug, Serialize)]
pub(super) struct With<'a, T> {
    #[serde(flatten)]
    of: &'a T,
    /// As it would be made now.
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<&'a Shown>,
    /// Why there is no request.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_request: Option<&'a str>,
}

impl<'a, T> With<'a, T> {
    pub(super) fn new(of: &'a T, made: &'a Made) -> Self {
        Self { of, request: made.as_ref().ok(), no_request: made.as_ref().err().map(String::as_str) }
    }
}

impl Requests {
    /// By the catalog that the settings name. One that cannot be used is no reason to show nothing of deliveries.
    pub(super) fn load(settings: &Settings, reader: &Reader) -> Result<Self, Failure> {
        let path = settings.catalog_path().to_owned();
        // Over which connections a request goes does not show.
        let loaded = catalog::load_all(&path, 0, &config::environment, &Egress::default());
        let destinations = loaded.map(|snapshot| snapshot.destinations);
        let unusable = |problems| format!("the catalog cannot be used:\n{problems}");
        let (destinations, shown) = (destinations.map_err(unusable), reader::Shown::load(reader)?);
        Ok(Self { destinations, path, clock: Clock::default(), shown })
    }

    /// That of a delivery.
    pub(super) fn of(&self, reader: &Reader, row: &Row) -> Result<Made, Failure> {
        let destinations = match &self.destinations {
            Ok(destinations) => destinations,
            Err(why) => return Ok(Err(why.clone())),
        };
        let now = self.clock.now();
        let moment = Moment { now, random: now.micros().unsigned_abs() };
        let position = row.decision.parse().unwrap_or_default();
        let found = deliveries::decision(reader, &self.shown, position, |decision| {
            show_now(destinations, decision, &row.destination, moment)
        })?;
        Ok(match found {
            None => Err("its decision cannot be read".to_owned()),
            Some(None) => Err(self.unnamed(&row.destination)),
            Some(Some(made)) => made.map_err(|unmade| unmade.to_string()),
        })
    }

    fn unnamed(&self, destination: &str) -> String {
        let (path, destination) = (&self.path, plain(destination));
        match path.as_os_str().is_empty() {
            true => {
                format!(
                    "the built-in catalog names no destination \"{destination}\": say which one with --catalog"
                )
            }
            false => format!(
                "{} names no destination \"{destination}\" for this conversion any more",
                path.display()
            ),
        }
    }
}

pub(super) fn write_made(out: &mut dyn Write, made: &Made) -> Result<(), Failure> {
    match made {
        Ok(request) => {
            writeln!(out, "request, as it would be made now")?;
            write_request(out, request)?;
        }
        Err(why) => writeln!(out, "no request can be shown: {why}")?,
    }
    Ok(())
}
