//! Conversions as nobody sane reports them, by a seed: every route and method, values of all kinds, bodies that are none.
//!
//! Out: whole requests, of which each gets exactly one answer on a connection that goes on; and beginnings and nonsense,
//! after which a connection is worth nothing.

/// Pseudo-random numbers (xorshift*), so that a seed is all that a failure needs.
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let high = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 32;
        (usize::try_from(high).unwrap() * bound) >> 32
    }

    /// One time out of so many.
    pub(crate) fn is_one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub(crate) fn of<'a, T: ?Sized>(&mut self, all: &[&'a T]) -> &'a T {
        all[self.below(all.len())]
    }

    fn byte(&mut self) -> u8 {
        u8::try_from(self.below(256)).unwrap()
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.byte()).collect()
    }
}

/// A request that gets an answer, and goes on.
pub(crate) struct Asked {
    pub(crate) bytes: Vec<u8>,
    pub(crate) is_head: bool,
    /// Whether its answer must say what became of it: it is at one of our own conversion routes.
    pub(crate) is_conversion: bool,
    /// Its body comes in chunks, which are not read of a request that was sent right behind another one.
    pub(crate) is_chunked: bool,
}

type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// See the module.
pub(crate) struct Malice<'a> {
    pub(crate) random: Random,
    /// Of the process's own clicks.
    pub(crate) clicks: &'a [String],
    /// Of the catalog.
    pub(crate) networks: &'a [String],
    pub(crate) secret: &'a str,
}

/// Besides GET and POST.
const METHODS: &[&str] = &["HEAD", "OPTIONS", "PUT", "DELETE", "PATCH"];
/// Paths besides `/postback/{network}`.
const PATHS: &[&str] = &[
    "/postback",
    "/postback/",
    "/postback/none",
    "/postback/%00",
    "/postback/%ff%fe",
    "/postback//",
    "/postback/..%2f..%2fetc%2fpasswd",
    "/pixel.gif",
    "/pixel",
    "/pixel.js",
    "/conversion.gif",
    "/wrong/postback",
    "/a-secret-of-nobody/postback",
    "//postback",
    "/postback.php",
    "/click.php",
    "/click",
    "/click/1",
    "/adclick.php",
    "/adclick",
    "/tracking202/static/gpb.php",
    "/tracking202/static/gpx.php",
    "/tracking202/static/upx.php",
    "/tracking202/static/pb.php",
    "/aff_lsr",
    "/aff_goal",
    "/aff_l",
    "/",
    "/p.ashx",
    "/api/postback",
    "/out",
    "/track",
    "/%2e%2e/%zz",
];
const CLICK_NAMES: &[&str] =
    &["click_id", "click_id", "clickid", "cid", "subid", "cnv_id", "transaction_id", "r"];
const NAMES: &[&str] = &[
    "click_id",
    "clickid",
    "cid",
    "c",
    "subid",
    "sub_id",
    "cnv_id",
    "uclick",
    "sid",
    "r",
    "transaction_id",
    "txid",
    "tx_id",
    "tid",
    "t",
    "order_id",
    "action_id",
    "payout",
    "sum",
    "revenue",
    "amount",
    "p",
    "status",
    "cnv_status",
    "event",
    "et",
    "goal",
    "goal_id",
    "currency",
    "cur",
    "f",
    "a",
    "nid",
    "oid",
    "network",
    "secret",
    "token",
    "key",
    "return",
    "sale_status",
    "ignore_status",
    "test",
    "lp",
    "cladd",
    "",
    "%",
    "%00",
    "a[b]",
    "__proto__",
    "sub1",
];
const STATUSES: &[&str] = &[
    "approved",
    "APPROVED",
    "pEnDiNg",
    "pending",
    "hold",
    "rejected",
    "Reversed",
    "chargeback",
    "sale",
    "lead",
    "rebill",
    "1",
    "2",
    "3",
    "5",
    "trash",
    "strange",
    "",
];
const AMOUNTS: &[&str] = &[
    "1",
    "1.50",
    "0",
    "2",
    "7.25",
    "-3",
    "-0",
    "0.0000001",
    "0.000001",
    "12,34",
    "1,234.56",
    "$1.50",
    "€ 9",
    "NaN",
    "inf",
    "1e9",
    "1E309",
    "0x10",
    "9223372036854.775807",
    "9223372036854.775808",
    "-9223372036854.775808",
    "99999999999999999999999999999999",
    "٣",
    "1.2.3",
    "--1",
    "+5",
    " 4 ",
    "ten",
    "500.01",
    "",
];
const CURRENCIES: &[&str] =
    &["USD", "usd", "EUR", "eur", "JPY", "KWD", "XXX", "US", "Dollars", "€", "", "U\0D"];
const NASTY: &[&str] = &[
    "{click_id}",
    "{{payout}}",
    "[[subid]]",
    "#s2#",
    "${payout}",
    "__X__",
    "%payout%",
    "<a>",
    "OPTIONAL",
    "REPLACE",
    "../../etc/passwd",
    "'; drop table clicks; --",
    "\"><script>alert(1)</script>",
    "\r\nX-Injected: 1\r\n",
    "\0",
    "a\0b",
    "\u{2028}",
    "\u{feff}",
    "🎈",
    "%",
    "%%",
    "%zz",
    "null",
    "undefined",
    "true",
    "-1",
];
const CONTENT_TYPES: &[&str] = &[
    "application/x-www-form-urlencoded",
    "application/json",
    "application/json; charset=utf-16",
    "text/plain",
    "multipart/form-data; boundary=x",
    "image/png",
    "application/x-www-form-urlencoded;charset=\"",
    "x",
    "",
    "application/vnd.api+json",
];

impl Malice<'_> {
    /// A whole request.
    pub(crate) fn request(&mut self) -> Asked {
        let method = match self.random.below(16) {
            0 => self.random.of(METHODS),
            1..6 => "POST",
            _ => "GET",
        };
        let path = self.path();
        let pairs = self.pairs();
        let mut target = path.clone();
        let has_body = method == "POST" && !self.random.is_one_in(6);
        if !has_body || self.random.is_one_in(3) {
            let query = self.encoded(&pairs, false);
            target = format!("{path}?{}", String::from_utf8(query).unwrap());
        }
        target.truncate(8_000);
        let headers = self.headers();
        let mut bytes = format!("{method} {target} HTTP/1.1\r\nHost: trk.example\r\n{headers}").into_bytes();
        let mut is_chunked = false;
        if has_body {
            is_chunked = self.add_body(&pairs, &mut bytes);
        } else {
            bytes.extend(b"\r\n");
        }
        let is_ours = path.starts_with("/postback") && path != "/postback.php" || path.starts_with("/pixel");
        let is_conversion = is_ours && matches!(method, "GET" | "POST");
        Asked { bytes, is_head: method == "HEAD", is_conversion, is_chunked }
    }

    /// What comes last on a connection: the rest of it never comes, or it is no request at all.
    pub(crate) fn nonsense(&mut self) -> Vec<u8> {
        match self.random.below(9) {
            0 => self.random.bytes(300),
            1 => b"POST /postback HTTP/1.1\r\nHost: a\r\nContent-Length: 70000\r\n\r\nclick_id=a".to_vec(),
            2 => b"POST /postback HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
                .to_vec(),
            3 => b"POST /postback HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff1\r\nx".to_vec(),
            4 => b"GET /postback?click_id=\xff\xfe\0 HTTP/1.1\r\nHost: a\r\n\r\n".to_vec(),
            5 => [b"GET /postback?x=", &*vec![b'y'; 20_000], b" HTTP/1.1\r\nHost: a\r\n\r\n"].concat(),
            6 => b"GET /postback?click_id=a HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n".to_vec(),
            7 => b"TRACE /postback HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".to_vec(),
            _ => {
                // A request that breaks off anywhere.
                let mut whole = self.request().bytes;
                whole.truncate(self.random.below(whole.len()));
                whole
            }
        }
    }

    fn path(&mut self) -> String {
        match self.random.below(10) {
            0 | 1 => self.random.of(PATHS).to_owned(),
            2 => format!("/{}/postback", self.secret),
            _ => format!("/postback/{}", self.networks[self.random.below(self.networks.len())]),
        }
    }

    /// What a network might say, and then some of it spoilt.
    fn pairs(&mut self) -> Pairs {
        let mut pairs = Pairs::new();
        if !self.random.is_one_in(6) {
            let roles =
                [("click_id", 3), ("txid", 4), ("payout", 4), ("status", 4), ("cur", 2), ("event", 2)];
            for (name, presence) in roles {
                if !self.random.is_one_in(presence * 2) {
                    let value = self.value_of(name);
                    if name == "click_id" {
                        // Profiles have names of their own.
                        pairs.push((self.random.of(CLICK_NAMES).into(), value.clone()));
                    }
                    pairs.push((name.into(), value));
                }
            }
            pairs.push(("secret".into(), self.secret.into()));
        }
        for _ in 0..self.random.below(4).saturating_sub(1) {
            self.spoil(&mut pairs);
        }
        pairs
    }

    fn spoil(&mut self, pairs: &mut Pairs) {
        let name = self.random.of(NAMES);
        let at = self.random.below(pairs.len() + 1);
        match self.random.below(8) {
            0 => pairs.extend((0..200).map(|n| (format!("x{n}").into(), b"y".to_vec()))),
            1 => pairs.push((vec![b'n'; self.random.below(600)], b"1".to_vec())),
            2 => pairs.push((name.into(), vec![b'9'; self.random.below(5_000)])),
            3 => {
                for _ in 0..self.random.below(40) {
                    let value = self.value_of(name);
                    pairs.push((name.into(), value));
                }
            }
            4 if at < pairs.len() => pairs[at].1 = self.random.of(NASTY).into(),
            5 if at < pairs.len() => pairs[at].0 = pairs[at].0.to_ascii_uppercase(),
            6 if at < pairs.len() => drop(pairs.remove(at)),
            _ => {
                let value = self.value_of(name);
                pairs.insert(at, (name.into(), value));
            }
        }
    }

    fn value_of(&mut self, name: &str) -> Vec<u8> {
        let random = &mut self.random;
        if random.is_one_in(25) {
            let (nasty, count) = (random.of(NASTY).as_bytes().to_vec(), random.below(40));
            return if random.is_one_in(2) { nasty } else { random.bytes(count) };
        }
        match name {
            // A handful of each, so that they meet again and again.
            "txid" | "tx_id" | "transaction_id" | "order_id" | "t" | "tid" | "action_id" => {
                format!("t{}", random.below(6)).into()
            }
            "payout" | "sum" | "revenue" | "amount" | "p" => {
                let all: &[&str] = if random.is_one_in(3) { AMOUNTS } else { &["1", "1.50", "2", "7.25"] };
                random.of(all).into()
            }
            "status" | "cnv_status" | "sale_status" | "ignore_status" => random.of(STATUSES).into(),
            "currency" | "cur" => {
                let all: &[&str] = if random.is_one_in(3) { CURRENCIES } else { &["USD", "usd", "EUR"] };
                random.of(all).into()
            }
            "event" | "et" | "goal" => random.of(&["", "ftd", "reg"]).into(),
            "test" => random.of(&["1", "0"]).into(),
            "network" => self.networks[random.below(self.networks.len())].clone().into(),
            "f" => random.of(&["pb", "img", "js", "x"]).into(),
            _ => self.click_id(),
        }
    }

    fn click_id(&mut self) -> Vec<u8> {
        let mut id = self.clicks[self.random.below(self.clicks.len())].clone();
        match self.random.below(20) {
            0 => id.truncate(25),
            1 => id = format!("{}{}", &id[1..], self.random.below(10)),
            2 => id = format!("foreign-{}", self.random.below(50)),
            3 => id.make_ascii_uppercase(),
            _ => {}
        }
        id.into()
    }

    fn headers(&mut self) -> String {
        let mut headers = String::new();
        if self.random.is_one_in(6) {
            headers += &format!("X-Secret: {}\r\n", self.random.of(&["wrong", self.secret]));
        }
        if self.random.is_one_in(6) {
            let cookie = String::from_utf8(self.click_id()).unwrap();
            headers += &format!("Cookie: a=b; cl_cid={cookie}; cl_cid=\"\r\n");
        }
        if self.random.is_one_in(8) {
            headers += self.random.of(&[
                "Authorization: Bearer \r\n",
                "X-Forwarded-For: 1.2.3.4, ::1, nonsense\r\n",
                "Sec-Purpose: prefetch\r\n",
                "Origin: null\r\n",
                "Expect: 100-continue\r\n",
                "X-Long: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n",
                "Referer: https://a.example/?k=%00\r\n",
            ]);
        }
        headers
    }

    /// Adds a body, and says whether it is in chunks.
    fn add_body(&mut self, pairs: &Pairs, bytes: &mut Vec<u8>) -> bool {
        let body = match self.random.below(12) {
            0..5 => self.encoded(pairs, true),
            5..10 => self.json(pairs),
            10 => {
                let depth = self.random.below(3_000);
                [
                    b"{\"click_id\":\"a\",\"b\":".to_vec(),
                    b"[".repeat(depth),
                    b"]".repeat(depth),
                    b"}".to_vec(),
                ]
                .concat()
            }
            _ => {
                let mut broken = self.json(pairs);
                broken.truncate(self.random.below(broken.len() + 1));
                broken.extend(self.random.bytes(3));
                broken
            }
        };
        // Without a type it is looked at what it is.
        let content_type = if self.random.is_one_in(3) { self.random.of(CONTENT_TYPES) } else { "" };
        let length = body.len();
        let is_chunked = self.random.is_one_in(5);
        if is_chunked {
            bytes.extend(
                format!("Content-Type: {content_type}\r\nTransfer-Encoding: chunked\r\n\r\n").bytes(),
            );
            for part in body.chunks(100.max(length / 3)) {
                bytes.extend(format!("{:x}\r\n", part.len()).bytes());
                bytes.extend(part);
                bytes.extend(b"\r\n");
            }
            bytes.extend(b"0\r\n\r\n");
        } else {
            bytes.extend(format!("Content-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n").bytes());
            bytes.extend(body);
        }
        is_chunked
    }

    /// Pairs as a query or a form; a form may have any bytes, and a query what can stand in one.
    fn encoded(&mut self, pairs: &Pairs, is_body: bool) -> Vec<u8> {
        let mut out = Vec::new();
        for (n, (name, value)) in pairs.iter().enumerate() {
            if n > 0 {
                let is_odd = self.random.is_one_in(20);
                out.extend(self.random.of(if is_odd { &["&&", "?", ";", "&;&"] } else { &["&"] }).bytes());
            }
            let is_raw = is_body && self.random.is_one_in(4);
            for (text, end) in [(name, "="), (value, "")] {
                for byte in text {
                    let is_plain = byte.is_ascii_alphanumeric() || b"-._~{}[]|^`$,%".contains(byte);
                    if is_plain || is_raw {
                        out.push(*byte);
                    } else {
                        out.extend(format!("%{byte:02X}").bytes());
                    }
                }
                out.extend(end.bytes());
            }
        }
        out
    }

    fn json(&mut self, pairs: &Pairs) -> Vec<u8> {
        let mut out = b"{".to_vec();
        for (n, (name, value)) in pairs.iter().enumerate() {
            if n > 0 {
                out.push(b',');
            }
            let text = |bytes: &[u8]| serde_json::to_vec(&String::from_utf8_lossy(bytes)).unwrap();
            out.extend(text(name));
            out.push(b':');
            match self.random.below(40) {
                0 => out.extend(b"null"),
                1 => out.extend(b"{\"a\":[1,{\"b\":2}]}"),
                2 => out.extend(b"123456789012345678901234567890.5e9"),
                // A value as it is: perhaps a number, perhaps what is no JSON.
                3 => out.extend(value),
                _ => out.extend(text(value)),
            }
        }
        out.push(b'}');
        out
    }
}
