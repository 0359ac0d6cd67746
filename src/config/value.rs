//! Values of settings: how each type is read from a file, from the environment or a flag, and how it is shown.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use toml::de::{DeTable, DeValue};

use super::secret::SecretRef;
use crate::logs;

/// What was given for a setting.
#[derive(Clone, Copy, Debug)]
pub(super) enum Given<'a> {
    /// In a file.
    Toml(&'a DeValue<'a>),
    /// In the environment, or as a flag.
    Text(&'a str),
}

/// A type of setting.
pub(super) trait Value: Sized {
    /// What the type takes, for messages: `a number`.
    const WHAT: &'static str;

    /// Reads it; nothing if it is not what the type takes.
    fn from_text(text: &str) -> Option<Self>;

    /// Reads it from a file. Most are texts there.
    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_str().and_then(Self::from_text)
    }

    /// As it stands in a file.
    fn to_toml(&self) -> String;
}

/// Reads a value of this type.
pub(super) fn read<T: Value>(given: Given<'_>) -> Result<T, String> {
    let read = match given {
        Given::Toml(value) => T::from_toml(value),
        Given::Text(text) => T::from_text(text),
    };
    read.ok_or_else(|| format!("must be {}", T::WHAT))
}

/// Reads a duration as settings write it: `500ms`, `30s`.
///
/// # Errors
/// What it must be.
pub fn duration(text: &str) -> Result<Duration, String> {
    read(Given::Text(text))
}

/// A text as TOML writes it.
pub(super) fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for letter in text.chars() {
        match letter {
            '"' | '\\' => quoted.extend(['\\', letter]),
            '\n' => quoted.push_str("\\n"),
            letter if letter.is_control() => quoted.push_str(&format!("\\u{:04X}", u32::from(letter))),
            letter => quoted.push(letter),
        }
    }
    quoted.push('"');
    quoted
}

macro_rules! numbers {
    ($($type:ty)*) => {$(
        impl Value for $type {
            const WHAT: &'static str = "a number";

            fn from_text(text: &str) -> Option<Self> {
                text.trim().replace('_', "").parse().ok()
            }

            fn from_toml(value: &DeValue<'_>) -> Option<Self> {
                let number = value.as_integer()?;
                Self::from_str_radix(&number.as_str().replace('_', ""), number.radix()).ok()
            }

            fn to_toml(&self) -> String {
                self.to_string()
            }
        }
    )*};
}

numbers!(u8 u16 u32 usize);

impl Value for bool {
    const WHAT: &'static str = "true or false";

    fn from_text(text: &str) -> Option<Self> {
        text.trim().parse().ok()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        value.as_bool()
    }

    fn to_toml(&self) -> String {
        self.to_string()
    }
}

impl Value for PathBuf {
    const WHAT: &'static str = "a path, as a text";

    fn from_text(text: &str) -> Option<Self> {
        Some(Self::from(text))
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string_lossy())
    }
}

macro_rules! names {
    ($($type:ty: $what:literal;)*) => {$(
        impl Value for $type {
            const WHAT: &'static str = $what;

            fn from_text(text: &str) -> Option<Self> {
                Self::ALL.iter().find(|(_, name)| *name == text.trim()).map(|(one, _)| *one)
            }

            fn to_toml(&self) -> String {
                let name = Self::ALL.iter().find(|(one, _)| one == self);
                quoted(name.map_or("", |(_, name)| name))
            }
        }
    )*};
}

names! {
    logs::Format: "\"auto\", \"json\" or \"text\"";
    logs::Level: "\"error\", \"warn\", \"info\", \"debug\" or \"trace\"";
}

/// A number of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes(pub u64);

const UNITS: &[(&str, u64)] = &[
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
    ("", 1),
];

impl Value for Bytes {
    const WHAT: &'static str = "a number of bytes like \"64MiB\"";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        let (number, unit) =
            text.split_at(text.find(|c: char| !c.is_ascii_digit() && c != '_').unwrap_or(text.len()));
        let number: u64 = number.replace('_', "").parse().ok()?;
        let (_, unit) = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit.trim()))?;
        number.checked_mul(*unit).map(Self)
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match value.as_integer() {
            Some(number) => number.as_str().replace('_', "").parse().ok().map(Self),
            None => value.as_str().and_then(Self::from_text),
        }
    }

    fn to_toml(&self) -> String {
        // Zero is not so many TiB.
        let fits = UNITS.iter().take(4).find(|(_, unit)| self.0 > 0 && self.0.is_multiple_of(*unit));
        match fits {
            Some((name, unit)) => quoted(&format!("{}{name}", self.0 / unit)),
            None => self.0.to_string(),
        }
    }
}

const SPANS: &[(&str, u64)] =
    &[("ms", 1), ("s", 1_000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000), ("w", 604_800_000)];

impl Value for Duration {
    const WHAT: &'static str = "a duration like \"500ms\", \"30s\", \"5m\", \"24h\" or \"30d\"";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if text == "0" {
            return Some(Self::ZERO);
        }
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
        let (_, millis) = SPANS.iter().find(|(name, _)| *name == unit.trim())?;
        number.parse::<u64>().ok()?.checked_mul(*millis).map(Self::from_millis)
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match value.as_integer() {
            // Which unit would it be? Only nothing has none.
            Some(number) => (number.as_str() == "0").then_some(Self::ZERO),
            None => value.as_str().and_then(Self::from_text),
        }
    }

    fn to_toml(&self) -> String {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        // Weeks are read, not written: "30d" and "14d" look alike.
        let fits = SPANS.iter().rev().skip(1).find(|(_, unit)| millis > 0 && millis.is_multiple_of(*unit));
        match fits {
            Some((name, unit)) => quoted(&format!("{}{name}", millis / unit)),
            None => quoted("0"),
        }
    }
}

/// An address to listen at, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Where.
    pub address: SocketAddr,
    /// Whether each connection begins with a PROXY header, version 2.
    pub proxy_protocol: bool,
    /// Whether visitors come by https, ended at a proxy in front.
    pub https: bool,
    /// What is shown where TLS ends here.
    pub tls: Option<ListenTls>,
}

/// Where the certificates of a listener are; "" is nowhere.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListenTls {
    /// For whoever asks for no name, or for one of no other certificate; PEM, with its chain.
    pub certificate: PathBuf,
    /// Its key, PEM.
    pub key: PathBuf,
    /// A folder of certificates and keys, by domain.
    pub folder: PathBuf,
    /// Whether what an authority gives for the names in the settings is shown too.
    pub acme: bool,
    /// Authorities of client certificates, PEM.
    pub client_ca: PathBuf,
    /// Whether who shows none is refused.
    pub require_client_certificate: bool,
}

impl Listen {
    /// Plain http at this address.
    pub fn http(address: SocketAddr) -> Self {
        Self { address, proxy_protocol: false, https: false, tls: None }
    }

    /// https at this address.
    pub fn https(address: SocketAddr, tls: ListenTls) -> Self {
        Self { tls: Some(tls), ..Self::http(address) }
    }

    /// Whether visitors come by https.
    pub fn is_https(&self) -> bool {
        self.https || self.tls.is_some()
    }
}

impl ListenTls {
    const PATHS: [&str; 4] = ["certificate", "key", "folder", "client_ca"];

    fn path(&mut self, name: &str) -> Option<&mut PathBuf> {
        match name {
            "certificate" => Some(&mut self.certificate),
            "key" => Some(&mut self.key),
            "folder" => Some(&mut self.folder),
            "client_ca" => Some(&mut self.client_ca),
            _ => None,
        }
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let mut tls = Self::default();
        for (key, value) in value.as_table()? {
            match key.get_ref().as_ref() {
                "require_client_certificate" => {
                    tls.require_client_certificate = value.get_ref().as_bool()?;
                }
                "acme" => tls.acme = value.get_ref().as_bool()?,
                name => *tls.path(name)? = PathBuf::from_toml(value.get_ref())?,
            }
        }
        let is_empty = |path: &PathBuf| path.as_os_str().is_empty();
        let has_pair = !is_empty(&tls.certificate);
        let is_whole = has_pair != is_empty(&tls.key)
            && (has_pair || !is_empty(&tls.folder) || tls.acme)
            && !(tls.require_client_certificate && is_empty(&tls.client_ca));
        is_whole.then_some(tls)
    }

    fn to_toml(&self) -> String {
        let mut all = self.clone();
        let mut said = Vec::new();
        for name in Self::PATHS {
            let path = all.path(name).filter(|path| !path.as_os_str().is_empty());
            said.extend(path.map(|path| format!("{name} = {}", path.to_toml())));
        }
        if self.acme {
            said.push("acme = true".to_owned());
        }
        if self.require_client_certificate {
            said.push("require_client_certificate = true".to_owned());
        }
        format!("{{ {} }}", said.join(", "))
    }
}

impl Value for SocketAddr {
    const WHAT: &'static str = "an address and port like \"127.0.0.1:8080\", \"[::1]:8080\" or \":8080\"";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        if let Some(port) = text.strip_prefix(':') {
            return Some(Self::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), port.parse().ok()?));
        }
        let local = text.strip_prefix("localhost").map(|port| format!("127.0.0.1{port}"));
        local.as_deref().unwrap_or(text).parse().ok()
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for Listen {
    const WHAT: &'static str = "an address like \"127.0.0.1:8080\" or { address = \"…\", proxy_protocol = true, https = true, tls = { … } }; \
         tls has certificate and key, folder, acme = true, or several of them; client_ca, require_client_certificate";

    fn from_text(text: &str) -> Option<Self> {
        SocketAddr::from_text(text).map(Self::http)
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        let Some(table) = value.as_table() else {
            return value.as_str().and_then(Self::from_text);
        };
        let mut listen = None;
        let (mut proxy_protocol, mut https, mut tls) = (false, false, None);
        for (key, value) in table {
            match key.get_ref().as_ref() {
                "address" => listen = Some(SocketAddr::from_toml(value.get_ref())?),
                "proxy_protocol" => proxy_protocol = value.get_ref().as_bool()?,
                "https" => https = value.get_ref().as_bool()?,
                "tls" => tls = Some(ListenTls::from_toml(value.get_ref())?),
                _ => return None,
            }
        }
        Some(Self { address: listen?, proxy_protocol, https, tls })
    }

    fn to_toml(&self) -> String {
        let mut text = self.address.to_toml();
        if self.proxy_protocol || self.is_https() {
            let flag = |name, is_set| if is_set { format!(", {name} = true") } else { String::new() };
            let flags = flag("proxy_protocol", self.proxy_protocol) + &flag("https", self.https);
            let tls = self.tls.as_ref().map_or_else(String::new, |tls| format!(", tls = {}", tls.to_toml()));
            text = format!("{{ address = {text}{flags}{tls} }}");
        }
        text
    }
}

impl Value for IpNet {
    const WHAT: &'static str = "a network like \"10.0.0.0/8\" or an address";

    fn from_text(text: &str) -> Option<Self> {
        let text = text.trim();
        text.parse().ok().or_else(|| text.parse::<IpAddr>().ok().map(Self::from))
    }

    fn to_toml(&self) -> String {
        quoted(&self.to_string())
    }
}

impl Value for String {
    const WHAT: &'static str = "a text";

    fn from_text(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }

    fn to_toml(&self) -> String {
        quoted(self)
    }
}

/// In the environment and in flags, items are parted by commas.
impl<T: Value> Value for Vec<T> {
    const WHAT: &'static str = const_list::<T>();

    fn from_text(text: &str) -> Option<Self> {
        text.split(',').filter(|item| !item.trim().is_empty()).map(T::from_text).collect()
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        match value.as_array() {
            Some(items) => items.iter().map(|item| T::from_toml(item.get_ref())).collect(),
            None => T::from_toml(value).map(|item| vec![item]),
        }
    }

    fn to_toml(&self) -> String {
        let items: Vec<_> = self.iter().map(Value::to_toml).collect();
        format!("[{}]", items.join(", "))
    }
}

/// What a list of these is made of: the message says enough with one item.
const fn const_list<T: Value>() -> &'static str {
    T::WHAT
}

/// Nothing, or a reference. An empty text is nothing.
impl Value for Option<SecretRef> {
    const WHAT: &'static str =
        "{ env = \"NAME\" } or { file = \"PATH\" }: settings say where a secret is, not the secret";

    /// In the environment and in flags it is written as in a file.
    fn from_text(text: &str) -> Option<Self> {
        if text.trim().is_empty() {
            return Some(None);
        }
        let line = format!("x = {text}");
        let table = DeTable::parse(&line).ok()?;
        Self::from_toml(table.get_ref().get("x")?.get_ref())
    }

    fn from_toml(value: &DeValue<'_>) -> Option<Self> {
        if value.as_str() == Some("") {
            return Some(None);
        }
        let mut entries = value.as_table()?.iter();
        let (Some((key, value)), None) = (entries.next(), entries.next()) else {
            return None;
        };
        let text = value.get_ref().as_str()?;
        match key.get_ref().as_ref() {
            "env" => Some(Some(SecretRef::Env(text.to_owned()))),
            "file" => Some(Some(SecretRef::File(text.into()))),
            _ => None,
        }
    }

    fn to_toml(&self) -> String {
        match self {
            None => quoted(""),
            Some(SecretRef::Env(name)) => format!("{{ env = {} }}", quoted(name)),
            Some(SecretRef::File(path)) => format!("{{ file = {} }}", path.to_toml()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_read_back_the_same() {
        fn same<T: Value + PartialEq + std::fmt::Debug>(value: T) {
            let text = format!("x = {}", value.to_toml());
            let table = DeTable::parse(&text).unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(T::from_toml(table.get_ref()["x"].get_ref()), Some(value), "{text}");
        }
        [0, 1, 1023, 1024, 3 << 20, 1 << 40, u64::MAX].into_iter().for_each(|bytes| same(Bytes(bytes)));
        for millis in [0, 1, 50, 1_000, 90_000, 3_600_000, 604_800_000] {
            same(Duration::from_millis(millis));
        }
        same(vec![
            Listen::http("127.0.0.1:80".parse().unwrap()),
            Listen { proxy_protocol: true, https: true, ..Listen::http("[::]:80".parse().unwrap()) },
            Listen::https(
                "[::]:443".parse().unwrap(),
                ListenTls { certificate: "a.crt".into(), key: "a.key".into(), ..ListenTls::default() },
            ),
            Listen::https("[::]:445".parse().unwrap(), ListenTls { acme: true, ..ListenTls::default() }),
            Listen::https(
                "[::]:444".parse().unwrap(),
                ListenTls {
                    folder: "certificates".into(),
                    client_ca: "ca.pem".into(),
                    require_client_certificate: true,
                    ..ListenTls::default()
                },
            ),
        ]);
        same(vec!["10.0.0.0/8".parse::<IpNet>().unwrap()]);
        same("a\"b\\c\n\u{1}".to_owned());
        same(Some(SecretRef::Env("X".to_owned())));
        same(None::<SecretRef>);
        same(PathBuf::from("/tmp/ä b"));
        same(7u8);
        same(true);
    }

    #[test]
    fn tls_needs_a_certificate_with_its_key_or_a_folder() {
        for refused in [
            "{}",
            "{ certificate = 'a' }",
            "{ key = 'a' }",
            "{ folder = 'a', key = 'b' }",
            "{ folder = 'a', require_client_certificate = true }",
            "{ folder = 'a', other = 'b' }",
            "{ acme = false }",
            "{ acme = true, key = 'b' }",
            "'a'",
        ] {
            let text = format!("x = {{ address = ':443', tls = {refused} }}");
            let table = DeTable::parse(&text).unwrap();
            assert_eq!(Listen::from_toml(table.get_ref()["x"].get_ref()), None, "{refused}");
        }
    }

    #[test]
    fn people_write_the_same_thing_in_many_ways() {
        assert_eq!(Bytes::from_text("64 MiB"), Some(Bytes(64 << 20)));
        assert_eq!(Bytes::from_text("1_000"), Some(Bytes(1000)));
        assert_eq!(Bytes::from_text("5gb"), Some(Bytes(5_000_000_000)));
        for refused in ["", "MiB", "-1", "1.5GiB", "1 XB", "99999999TiB"] {
            assert_eq!(Bytes::from_text(refused), None, "{refused}");
        }
        assert_eq!(Duration::from_text("2w"), Some(Duration::from_secs(14 * 86_400)));
        for refused in ["", "5", "5 years", "s", "-5s"] {
            assert_eq!(Duration::from_text(refused), None, "{refused}");
        }
        assert_eq!(Vec::<u8>::from_text("1, 2,"), Some(vec![1, 2]));
        assert_eq!(SocketAddr::from_text(":80").map(|at| at.to_string()).as_deref(), Some("[::]:80"));
        assert_eq!(
            SocketAddr::from_text("localhost:80").map(|at| at.to_string()).as_deref(),
            Some("127.0.0.1:80")
        );
    }
}
