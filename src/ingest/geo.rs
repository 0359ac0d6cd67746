//! The country and the autonomous system of an address, from databases that the operator has (feature `geo`).
//!
//! Keeps: a database lies in memory as a whole, so a look-up never waits for the disk (about a microsecond each, before the
//! answer, because the record holds what it finds).

use std::net::IpAddr;
use std::path::Path;

use maxminddb::{MaxMindDbError, PathElement, Reader};

/// One database in MaxMind's format, whoever made it.
#[derive(Debug)]
pub struct GeoDatabase(Reader<Vec<u8>>);

/// What is known of an address's place.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Whereabouts {
    /// ISO 3166-1 alpha-2, or two zeros.
    pub(super) country: [u8; 2],
    /// Number of the autonomous system, or 0.
    pub(super) asn: u32,
}

impl GeoDatabase {
    /// Reads a database.
    ///
    /// # Errors
    /// What reading says, or that it is none.
    pub fn open(path: &Path) -> Result<Self, MaxMindDbError> {
        Reader::open_readfile(path).map(Self)
    }

    fn find(&self, address: IpAddr, found: &mut Whereabouts) {
        let Ok(entry) = self.0.lookup(address) else { return };
        if found.country == [0; 2] {
            for path in [
                &[PathElement::Key("country"), PathElement::Key("iso_code")][..],
                &[PathElement::Key("country_code")],
            ] {
                let code = entry.decode_path::<&str>(path).ok().flatten();
                if let Some(&[a, b]) = code.map(str::as_bytes).filter(|code| code.is_ascii()) {
                    found.country = [a.to_ascii_uppercase(), b.to_ascii_uppercase()];
                }
            }
        }
        if found.asn == 0 {
            let path = [PathElement::Key("autonomous_system_number")];
            found.asn = entry.decode_path(&path).ok().flatten().unwrap_or(0);
        }
    }
}

/// Asks each database in turn for what is not known yet.
pub(super) fn find(databases: &[GeoDatabase], address: IpAddr) -> Whereabouts {
    let mut found = Whereabouts::default();
    databases.iter().for_each(|database| database.find(address, &mut found));
    found
}
