//! What https listeners show, from the files that the settings name.
//!
//! In: listeners, and names that an authority gives certificates for; what was shown before, where there is something. Out:
//! certificates with their keys, and for each file that cannot be taken, why; or a sum over all of these files that tells
//! whether any has changed.
//! Keeps: at a start, all or nothing; later, what cannot be taken leaves what was there in its place.
//! Not here: when to look again (`serve`), which name is shown what (`ingest`).

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::acme;
use super::problem::{Problem, Problems};
use super::route::{certificates, key};
use super::settings::Settings;
use super::value::{Listen, ListenTls};
use crate::clock::Timestamp;
use crate::ingest::{Certificates, ClientAuthorities, Identity};

/// Certificates in one folder.
pub const CERTIFICATES_MAX: usize = 10_000;

/// From when to when the certificate in a file with its key is good.
///
/// # Errors
/// It cannot be taken.
pub fn validity(path: &Path) -> Result<(Timestamp, Timestamp), Problem> {
    let pair = Pair { certificate: path.to_owned(), key: path.to_owned() };
    let origin = path.display().to_string();
    let identity = read(&pair, &origin).map_err(|why| Problem::at(origin, why))?;
    Ok((identity.starts(), identity.expires()))
}

/// What the listeners show, in their order; nothing for one without TLS.
pub type Shown = Vec<Option<Certificates>>;

/// Where it lies.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    listen: Vec<Listen>,
    /// What an authority gave, for listeners that show that: a file for each name, once there is one.
    issued: Vec<PathBuf>,
}

impl Places {
    /// As the settings say.
    pub fn of(settings: &Settings) -> Self {
        Self { listen: settings.edge.listen.clone(), ..Self::default() }.with_names_of(settings)
    }

    /// The same listeners, with the names that these settings have: what a reload changes.
    #[must_use]
    pub fn with_names_of(self, settings: &Settings) -> Self {
        let folder = settings.store.data.join(acme::FOLDER);
        let issued = settings.acme.domains.iter().map(|name| acme::issued(&folder, name));
        Self { issued: issued.collect(), ..self }
    }

    /// Whether any listener has TLS.
    pub fn has_tls(&self) -> bool {
        self.listen.iter().any(|listen| listen.tls.is_some())
    }

    /// Certificates from an authority, and their keys in the same files.
    fn issued(&self) -> impl Iterator<Item = Pair> {
        let there = self.issued.iter().filter(|path| path.exists());
        there.map(|path| Pair { certificate: path.clone(), key: path.clone() })
    }
}

/// Two files that belong together; it may be the same one.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Pair {
    certificate: PathBuf,
    key: PathBuf,
}

/// Loads what is to be shown.
///
/// # Errors
/// Each file that cannot be taken, with why.
pub fn load(places: &Places) -> Result<Shown, Problems> {
    load_all_again(places, &[], Timestamp::default())
}

/// As `load_again`, all or nothing.
///
/// # Errors
/// Each file that cannot be taken, with why.
pub fn load_all_again(
    places: &Places,
    before: &[Option<Certificates>],
    now: Timestamp,
) -> Result<Shown, Problems> {
    let (shown, found) = load_again(places, before, now);
    found.into_iter().collect::<Problems>().unless_any(shown)
}

/// Loads what is to be shown from now on. In place of what cannot be taken stands what was there before; so it does in place
/// of what has expired, if it has not itself.
pub fn load_again(places: &Places, before: &[Option<Certificates>], now: Timestamp) -> (Shown, Vec<Problem>) {
    let mut problems = Vec::new();
    let each = places.listen.iter().enumerate().map(|(place, listen)| {
        let before = before.get(place).and_then(Option::as_ref);
        listen.tls.as_ref().map(|tls| of_listener(tls, places, before, now, &mut problems))
    });
    (each.collect(), problems)
}

/// What is wrong with the times of what is shown: for whoever is about to show it.
pub fn untimely(shown: &[Option<Certificates>], now: Timestamp) -> Vec<Problem> {
    let all = shown.iter().flatten().flat_map(|shown| shown.identities.iter().chain(&shown.default));
    let what = |identity: &Identity| {
        let place = identity.origin();
        if identity.expires() <= now {
            Some(Problem::at(place, format!("the certificate expired at {}", identity.expires())))
        } else if identity.starts() > now {
            Some(Problem::at(place, format!("the certificate is good from {} on", identity.starts())))
        } else {
            None
        }
    };
    all.filter_map(|identity| what(identity)).collect()
}

/// Whether all of it is good at this time.
///
/// # Errors
/// What is not.
pub fn check_times(shown: &[Option<Certificates>], now: Timestamp) -> Result<(), Problems> {
    untimely(shown, now).into_iter().collect::<Problems>().unless_any(())
}

/// All files that were or would be read, as far as the file system tells one state of them from another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stamps(Vec<(PathBuf, [i64; 2], [u64; 2])>);

impl Stamps {
    /// As of now.
    pub fn of(places: &Places) -> Self {
        let mut stamps = Vec::new();
        let mut add = |path: &Path| {
            if let Ok(metadata) = path.metadata() {
                stamps.push(stamp(path, &metadata));
            }
        };
        places.issued.iter().for_each(|path| add(path));
        for tls in places.listen.iter().filter_map(|listen| listen.tls.as_ref()) {
            [&tls.certificate, &tls.key, &tls.client_ca].into_iter().for_each(|path| add(path));
            for pair in pairs(&tls.folder).unwrap_or_default() {
                add(&pair.certificate);
                add(&pair.key);
            }
        }
        Self(stamps)
    }
}

fn stamp(path: &Path, metadata: &Metadata) -> (PathBuf, [i64; 2], [u64; 2]) {
    // Not the time of the last write, which `cp -p` sets back and `chmod` does not change.
    (path.to_owned(), [metadata.ctime(), metadata.ctime_nsec()], [metadata.ino(), metadata.size()])
}

fn of_listener(
    tls: &ListenTls,
    places: &Places,
    before: Option<&Certificates>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Certificates {
    let mut taken = Certificates::default();
    if !tls.certificate.as_os_str().is_empty() {
        let pair = Pair { certificate: tls.certificate.clone(), key: tls.key.clone() };
        taken.default = identity(&pair, before, now, problems);
    }
    match pairs(&tls.folder) {
        Ok(pairs) => {
            taken.identities.extend(pairs.iter().filter_map(|pair| identity(pair, before, now, problems)));
            if taken.identities.is_empty() && taken.default.is_none() && !tls.acme {
                problems.push(Problem::at(tls.folder.display().to_string(), "there is no certificate here"));
                taken.identities = before.map_or_else(Vec::new, |before| before.identities.clone());
            }
        }
        Err(problem) => {
            problems.push(problem);
            taken.identities = before.map_or_else(Vec::new, |before| before.identities.clone());
        }
    }
    if tls.acme {
        let issued = places.issued().filter_map(|pair| identity(&pair, before, now, problems));
        taken.identities.extend(issued);
    }
    if !tls.client_ca.as_os_str().is_empty() {
        taken.clients = clients(tls).map_or_else(
            |problem| {
                problems.push(problem);
                before.and_then(|before| before.clients.clone())
            },
            Some,
        );
    }
    taken
}

/// What a pair of files holds, or what it held before.
fn identity(
    pair: &Pair,
    before: Option<&Certificates>,
    now: Timestamp,
    problems: &mut Vec<Problem>,
) -> Option<Arc<Identity>> {
    let origin = pair.certificate.display().to_string();
    let mut all = before.into_iter().flat_map(|before| before.identities.iter().chain(&before.default));
    let old = all.find(|old| old.origin() == origin).cloned();
    let why = match read(pair, &origin) {
        Ok(new) if new.expires() <= now && old.as_ref().is_some_and(|old| old.expires() > now) => {
            format!("the certificate expired at {}, the one before has not", new.expires())
        }
        Ok(new) => return Some(Arc::new(new)),
        Err(why) => why,
    };
    problems.push(Problem::at(origin, why));
    old
}

fn read(pair: &Pair, origin: &str) -> Result<Identity, String> {
    let chain = certificates(&pair.certificate)?;
    let key = key(&pair.key)?;
    Identity::new(origin, chain, key).map_err(|error| match pair.certificate == pair.key {
        true => error.to_string(),
        false => format!("{error} (its key is {})", pair.key.display()),
    })
}

fn clients(tls: &ListenTls) -> Result<ClientAuthorities, Problem> {
    let place = || tls.client_ca.display().to_string();
    let roots = certificates(&tls.client_ca).map_err(|what| Problem::at(place(), what))?;
    let clients = ClientAuthorities { roots, is_required: tls.require_client_certificate };
    clients.check().map_err(|error| Problem::at(place(), format!("cannot be an authority: {error}")))?;
    Ok(clients)
}

/// The certificates of a folder with their keys, in the order of their names.
fn pairs(folder: &Path) -> Result<Vec<Pair>, Problem> {
    if folder.as_os_str().is_empty() {
        return Ok(Vec::new());
    }
    let unreadable =
        |error: std::io::Error| Problem::at(folder.display().to_string(), format!("cannot be read: {error}"));
    let mut names = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(unreadable)? {
        names.push(entry.map_err(unreadable)?.path());
    }
    names.sort();
    let pairs: Vec<_> = names.iter().filter_map(|path| pair(path)).collect();
    if pairs.len() > CERTIFICATES_MAX {
        let what = format!("there are more than {CERTIFICATES_MAX} certificates here");
        return Err(Problem::at(folder.display().to_string(), what));
    }
    Ok(pairs)
}

/// What begins with this file or folder; nothing if it is of no interest. Where something is missing or leads nowhere, whoever
/// reads it says so.
fn pair(path: &Path) -> Option<Pair> {
    if path.file_name().is_none_or(|name| name.as_encoded_bytes().starts_with(b".")) {
        return None;
    }
    if path.is_dir() {
        // As certbot lays it out.
        let (certificate, key) = (path.join("fullchain.pem"), path.join("privkey.pem"));
        return is_there(&certificate).then_some(Pair { certificate, key });
    }
    let kind = path.extension()?.to_str()?;
    if !matches!(kind, "crt" | "cer" | "pem") {
        return None;
    }
    // Some keep both in one file.
    let key = Some(path.with_extension("key")).filter(|key| kind != "pem" || is_there(key));
    Some(Pair { certificate: path.to_owned(), key: key.unwrap_or_else(|| path.to_owned()) })
}

/// Whether there is something by this name, be it a link that leads nowhere or something that we may not read.
fn is_there(path: &Path) -> bool {
    path.symlink_metadata().err().is_none_or(|error| error.kind() != std::io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use base64::Engine;
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    const NOW: Timestamp = Timestamp::from_seconds(1_795_158_000);

    /// A certificate and its key, PEM.
    fn made(name: &str, year: i32) -> [String; 2] {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.not_after = date_time_ymd(year, 1, 1);
        let pem = |kind: &str, der: &[u8]| {
            let text = base64::engine::general_purpose::STANDARD.encode(der);
            format!("-----BEGIN {kind}-----\n{text}\n-----END {kind}-----\n")
        };
        let certificate = params.self_signed(&key).unwrap();
        [pem("CERTIFICATE", certificate.der()), pem("PRIVATE KEY", &key.serialize_der())]
    }

    fn listen(tls: ListenTls) -> Places {
        let address = "127.0.0.1:0".parse().unwrap();
        let listen = vec![Listen::http(address), Listen::https(address, tls)];
        Places { listen, ..Places::default() }
    }

    fn names(shown: &Shown) -> Vec<String> {
        let shown = shown[1].as_ref().unwrap();
        let all = shown.identities.iter().chain(&shown.default);
        all.map(|identity| identity.name().to_owned()).collect()
    }

    #[test]
    fn a_folder_is_read_as_people_fill_it() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
        let [certificate, key] = made("a.example", 2040);
        write("a.example.crt", &certificate);
        write("a.example.key", &key);
        let [certificate, key] = made("b.example", 2040);
        write("both.pem", &(certificate + &key));
        fs::create_dir(at("c.example")).unwrap();
        let [certificate, key] = made("c.example", 2040);
        write("c.example/fullchain.pem", &certificate);
        write("c.example/privkey.pem", &key);
        fs::create_dir(at("empty")).unwrap();
        write("README", "of certbot");
        write(".a.crt.swp", "of an editor");
        let listen = listen(ListenTls { folder: folder.path().to_owned(), ..ListenTls::default() });
        assert_eq!(names(&load(&listen).unwrap()), ["a.example", "b.example", "c.example"]);

        let before = Stamps::of(&listen);
        assert_eq!(Stamps::of(&listen), before);
        write("c.example/privkey.pem", "something else");
        assert_ne!(Stamps::of(&listen), before);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_file_and_why() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let write = |name: &str, text: &str| fs::write(at(name), text).unwrap();
        let ([certificate, _], [_, other]) = (made("a.example", 2040), made("a.example", 2040));
        write("mixed.crt", &certificate);
        write("mixed.key", &other);
        write("alone.crt", &certificate);
        write("nothing.pem", "no PEM");
        write("keyless.pem", &certificate);
        let tls = ListenTls {
            folder: folder.path().to_owned(),
            certificate: at("missing.crt"),
            key: at("mixed.key"),
            client_ca: at("mixed.key"),
            ..ListenTls::default()
        };
        let told = load(&listen(tls)).unwrap_err().to_string();
        for (file, why) in [
            ("mixed.crt", "the private key does not belong to the certificate"),
            ("alone.crt", "cannot read "),
            ("nothing.pem", "there is no certificate in "),
            ("keyless.pem", "there is no private key in "),
            ("missing.crt", "cannot read "),
            ("mixed.key", "there is no certificate in "),
        ] {
            assert!(told.lines().any(|line| line.contains(file) && line.contains(why)), "{file}: {told}");
        }
    }

    #[test]
    fn what_cannot_be_taken_later_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let put = |name: &str, [certificate, key]: [String; 2]| {
            fs::write(at(&format!("{name}.crt")), certificate).unwrap();
            fs::write(at(&format!("{name}.key")), key).unwrap();
        };
        put("a", made("a.example", 2040));
        put("b", made("b.example", 2040));
        let listen = listen(ListenTls { folder: folder.path().to_owned(), ..ListenTls::default() });
        let first = load(&listen).unwrap();
        put("a", made("new.example", 2041));
        fs::write(at("b.key"), "half a k").unwrap();
        let (second, problems) = load_again(&listen, &first, NOW);
        assert_eq!(names(&second), ["new.example", "b.example"]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        put("a", made("old.example", 2020));
        fs::remove_file(at("b.crt")).unwrap();
        let (third, problems) = load_again(&listen, &second, NOW);
        assert_eq!(names(&third), ["new.example"], "what expired does not replace what has not");
        assert!(problems[0].what.contains("expired at 2020"), "{problems:?}");
        fs::remove_file(at("a.crt")).unwrap();
        let (fourth, problems) = load_again(&listen, &third, NOW);
        assert_eq!((names(&fourth).len(), problems.len()), (1, 1), "an empty folder is a mistake");
    }

    #[test]
    fn what_an_authority_gave_is_shown_for_the_names_that_are_wanted() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        settings.store.data = folder.path().to_owned();
        settings.acme.domains = vec!["a.example".to_owned(), "b.example".to_owned()];
        settings.edge.listen = listen(ListenTls { acme: true, ..ListenTls::default() }).listen;
        let places = Places::of(&settings);
        let first = load(&places).unwrap();
        assert!(names(&first).is_empty(), "there may be none yet");
        let issued = folder.path().join(acme::FOLDER);
        fs::create_dir(&issued).unwrap();
        let before = Stamps::of(&places);
        for name in ["a.example", "c.example"] {
            fs::write(acme::issued(&issued, name), made(name, 2040).concat()).unwrap();
        }
        assert_ne!(Stamps::of(&places), before);
        let (second, problems) = load_again(&places, &first, NOW);
        assert_eq!((names(&second), problems.len()), (vec!["a.example".to_owned()], 0));
        settings.acme.domains = vec!["c.example".to_owned()];
        let (third, _) = load_again(&places.with_names_of(&settings), &second, NOW);
        assert_eq!(names(&third), ["c.example"], "nobody wants the other one any more");
    }

    #[test]
    fn a_file_that_is_missing_for_a_while_takes_no_certificate_away() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let [certificate, key] = made("a.example", 2040);
        fs::write(at("a.crt"), certificate).unwrap();
        fs::write(at("a.key"), key).unwrap();
        fs::create_dir(at("b")).unwrap();
        let [certificate, key] = made("b.example", 2040);
        fs::write(at("fullchain1.old"), certificate).unwrap();
        std::os::unix::fs::symlink(at("fullchain1.old"), at("b/fullchain.pem")).unwrap();
        fs::write(at("b/privkey.pem"), key).unwrap();
        let listen = listen(ListenTls { folder: folder.path().to_owned(), ..ListenTls::default() });
        let first = load(&listen).unwrap();
        assert_eq!(names(&first), ["a.example", "b.example"]);
        fs::remove_file(at("a.key")).unwrap();
        fs::remove_file(at("fullchain1.old")).unwrap();
        let (second, problems) = load_again(&listen, &first, NOW);
        assert_eq!(names(&second), ["a.example", "b.example"]);
        let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
        assert!(
            told.len() == 2 && told[0].contains("a.key") && told[1].contains("b/fullchain.pem"),
            "{told:?}"
        );
        // Who takes the certificate itself away wants it away.
        fs::remove_file(at("a.crt")).unwrap();
        fs::remove_file(at("b/fullchain.pem")).unwrap();
        fs::write(at("c.pem"), made("c.example", 2040).concat()).unwrap();
        assert_eq!(names(&load_again(&listen, &second, NOW).0), ["c.example"]);
    }

    /// `cp -p` and `rsync -t` set the time back, and what was not allowed to be read is so with a `chmod`.
    #[test]
    fn a_file_of_another_state_is_told_from_the_one_before_whatever_its_time_says() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("both.pem");
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_700_000_000);
        let write = |text: &str| {
            fs::write(&path, text).unwrap();
            fs::File::options().write(true).open(&path).unwrap().set_modified(time).unwrap();
        };
        write("first");
        let listen = listen(ListenTls { folder: folder.path().to_owned(), ..ListenTls::default() });
        let before = Stamps::of(&listen);
        let later = || Stamps::of(&listen) != before;
        // Until the clock of the file system has moved.
        assert!((0..1_000_000).any(|_| {
            write("other");
            later()
        }));
    }

    #[test]
    fn what_has_expired_is_taken_at_a_start_and_told() {
        let folder = tempfile::tempdir().unwrap();
        let [certificate, key] = made("a.example", 2020);
        let [at_certificate, at_key] = ["a.crt", "a.key"].map(|name| folder.path().join(name));
        fs::write(&at_certificate, certificate).unwrap();
        fs::write(&at_key, key).unwrap();
        let tls = ListenTls { certificate: at_certificate, key: at_key, ..ListenTls::default() };
        let shown = load(&listen(tls)).unwrap();
        let told = untimely(&shown, NOW);
        assert!(told.len() == 1 && told[0].what.contains("expired at 2020-01-01"), "{told:?}");
        assert_eq!(untimely(&shown, Timestamp::from_seconds(1_500_000_000)), []);
    }
}
