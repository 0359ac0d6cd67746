//! What the demo serves: a folder that is new, settings that suit any machine, a catalog with two networks and two sources.
//!
//! Keeps: nothing of the environment or of a settings file is taken, so that every demo is the same one; a folder that was
//! not given is removed at the end.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write};
use std::net::SocketAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use super::super::Failure;
use crate::config::{self, Flag, Problems, Settings};

/// What the first network shows to be believed.
pub(super) const SECRET: &str = "demo-secret";

/// Campaigns, with how many in a hundred visitors come by each, and whether a landing page is in front of the offers.
pub(super) const CAMPAIGNS: [(&str, u32, bool); 4] =
    [("spring", 45, false), ("diet", 25, true), ("games", 20, false), ("loans", 10, false)];

const CATALOG: &str = r#"# The catalog of the demo.
[[network]]
id = "revboost"
secret = { file = "{secret_file}" }
currency = "USD"
payout = { max = "100" }

[[network]]                     # asks for no secret
id = "clickpeak"
currency = "USD"
payout = { max = "100" }

[[source]]
id = "propeller"
external_id = "visitor_id"
cost = "cost"
params = { zone = "zoneid" }
[[source.postback]]
id = "propeller-s2s"
url = "http://{source}/propeller?visitor_id={external_id}&value={payout}&id={delivery_id}"
on = ["approved"]
allow_addresses = ["127.0.0.1/32"]

[[source]]
id = "pushhouse"
external_id = "visitor_id"
params = { zone = "zoneid" }
[[source.postback]]
id = "pushhouse-s2s"
url = "http://{source}/pushhouse?visitor_id={external_id}&value={payout}&id={delivery_id}"
on = ["approved"]
allow_addresses = ["127.0.0.1/32"]

[[offer]]
id = "shoes"
network = "revboost"
url = "https://offer.example.com/shoes?s2={click_id}"
payout = "3.50"

[[offer]]
id = "keto"
network = "revboost"
url = "https://offer.example.com/keto?s2={click_id}"
payout = "auto"

[[offer]]
id = "puzzle"
network = "clickpeak"
url = "https://offer.example.com/puzzle?s2={click_id}"
payout = "1.20"

[[campaign]]
id = "spring"
source = "propeller"
offers = [{ id = "shoes", weight = 70 }, { id = "keto", weight = 30 }]
fallback_url = "https://example.com/"

[[campaign]]
id = "diet"
source = "propeller"
landers = [{ url = "https://lander.example.org/a?cid={click_id}" }]
offers = [{ id = "keto" }]

[[campaign]]
id = "games"
source = "pushhouse"
offers = [{ id = "puzzle" }]
cost = { model = "cpc", amount = "0.08" }

[[campaign]]
id = "loans"
source = "pushhouse"
offers = [{ id = "keto" }, { id = "puzzle" }]
cost = { model = "cpc", amount = "0.25" }
"#;

/// Bytes that must be free: the mark below which postbacks are refused, and some segments.
const ROOM_MIN: u64 = 160 << 20;

/// Where the demo's files are.
#[derive(Debug)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    is_ours: bool,
    /// Nothing was there before.
    is_new: bool,
}

impl Folder {
    /// A folder that is empty: this one, or a new one among the temporary files.
    pub(super) fn new(given: Option<&Path>) -> Result<Self, Failure> {
        let (path, is_ours) = match given {
            Some(path) => (path.to_owned(), false),
            None => (std::env::temp_dir().join(format!("clicklog-demo-{}", std::process::id())), true),
        };
        let is_new = !path.exists();
        let made = DirBuilder::new().recursive(!is_ours).mode(0o700).create(&path);
        let is_empty = made.and_then(|()| Ok(fs::read_dir(&path)?.next().is_none()));
        match is_empty {
            Ok(true) => Self { path, is_ours, is_new }.with_room(),
            Ok(false) => Err(Failure::new(format!(
                "{} is not empty, and the demo begins with nothing: give --data a new folder",
                path.display()
            ))),
            Err(error) => {
                let failure = Failure::system(format!("cannot make the folder {}", path.display()), &error);
                Err(failure.advise("say another one with --data"))
            }
        }
    }

    /// With too little room postbacks would be refused, which is no demo.
    fn with_room(self) -> Result<Self, Failure> {
        let free = rustix::fs::statvfs(&self.path)
            .map_or(u64::MAX, |stat| stat.f_bavail.saturating_mul(stat.f_frsize));
        if free >= ROOM_MIN {
            return Ok(self);
        }
        self.clear();
        let (free, wanted) = (free >> 20, ROOM_MIN >> 20);
        let told = format!("{} has {free} MiB of room, and the demo wants {wanted} MiB", self.path.display());
        Err(Failure::new(told).advise("make room there, or name a folder elsewhere with --data"))
    }

    /// What is left of the demo when it has ended, for whoever looks for it.
    pub(super) fn left(&self) -> String {
        match self.is_ours {
            true => "nothing is left of it: its folder is removed".to_owned(),
            false => format!("what was recorded stays in {}", self.path.display()),
        }
    }

    /// Takes away what was made of a demo that did not begin, so that the next one may have the same folder.
    pub(super) fn clear(&self) {
        // It was empty, so all that is in it is ours. What stays is told by the next demo.
        let _left = match self.is_new {
            true => fs::remove_dir_all(&self.path),
            false => fs::read_dir(&self.path).and_then(|entries| {
                entries.flatten().try_for_each(|entry| match entry.file_type()?.is_dir() {
                    true => fs::remove_dir_all(entry.path()),
                    false => fs::remove_file(entry.path()),
                })
            }),
        };
    }

    /// Whether it stays when the demo has ended.
    pub(super) fn stays(&self) -> bool {
        !self.is_ours
    }

    /// Writes the catalog; where it is.
    pub(super) fn write_catalog(&self, source: SocketAddr) -> io::Result<PathBuf> {
        let path = fs::canonicalize(&self.path)?;
        let (catalog, secret) = (path.join("demo-catalog.toml"), path.join("demo-secret"));
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&secret)?;
        file.write_all(SECRET.as_bytes())?;
        let text = CATALOG
            .replace(
                "{secret_file}",
                &secret.display().to_string().replace('\\', "\\\\").replace('"', "\\\""),
            )
            .replace("{source}", &source.to_string());
        fs::write(&catalog, text)?;
        Ok(catalog)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.is_ours {
            // What cannot be removed is among the temporary files, where somebody else does.
            let _left = fs::remove_dir_all(&self.path);
        }
    }
}

/// What the demo runs by.
pub(super) fn settings(data: &Path, catalog: &Path, listen: &str, admin: &str) -> Result<Settings, Problems> {
    let flags = [
        ("--data", ("store", "data"), data.display().to_string()),
        ("--catalog", ("catalog", "path"), catalog.display().to_string()),
        ("--listen", ("edge", "listen"), listen.to_owned()),
        ("--admin", ("admin", "listen"), admin.to_owned()),
        // Each visitor has an address of its own, which the demo says as a proxy would.
        ("edge.trusted_proxies", ("edge", "trusted_proxies"), "127.0.0.1/32".to_owned()),
        ("edge.workers", ("edge", "workers"), "2".to_owned()),
        // It is to run where there is little room.
        ("store.click_segment", ("store", "click_segment"), "16MiB".to_owned()),
        ("store.journal_segment", ("store", "journal_segment"), "16MiB".to_owned()),
        ("store.transactions_max", ("store", "transactions_max"), "2000000".to_owned()),
        ("store.low_free", ("store", "low_free"), "64MiB".to_owned()),
        ("store.critical_free", ("store", "critical_free"), "16MiB".to_owned()),
        ("store.reserve", ("store", "reserve"), "0".to_owned()),
        // A reload takes it over; what is refused is part of the play.
        ("log.level", ("log", "level"), "error".to_owned()),
    ];
    let flags: Vec<Flag> = flags.into_iter().map(|(name, key, value)| Flag { name, key, value }).collect();
    Ok(config::load(None, [], &flags)?.settings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_catalog_of_the_demo_can_be_served() {
        let folder = tempfile::tempdir().unwrap();
        let folder = Folder::new(Some(&folder.path().join("new"))).unwrap();
        let catalog = folder.write_catalog("127.0.0.1:9".parse().unwrap()).unwrap();
        let settings = settings(&folder.path, &catalog, "127.0.0.1:0", "127.0.0.1:0").unwrap();
        let served = settings.load_served(1).unwrap();
        let ids: Vec<&str> = served.catalog.campaigns().iter().map(|campaign| &*campaign.id).collect();
        assert!(CAMPAIGNS.iter().all(|(id, _, _)| ids.contains(id)), "{ids:?}");
        assert_eq!(CAMPAIGNS.iter().map(|(_, weight, _)| weight).sum::<u32>(), 100);
        assert!(Folder::new(Some(&folder.path)).is_err(), "it is not empty any more");
    }
}
