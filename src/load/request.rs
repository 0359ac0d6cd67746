//! Requests as they go over the wire.
//!
//! In: the plan. Out: for the number of a request, its bytes, at the end of a buffer.
//! Keeps: all that does not change is written once; a request is copied together without an allocation.
//! Not here: when it is sent (`turns`).

use super::plan::Plan;
use super::target::{Header, Piece, Target};
use super::visitor::{Chance, Visitors};

/// What a browser sends beside its name. Whoever wants others says so with a header of that name.
const BROWSER: [(&str, &str); 4] = [
    ("Accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
    ("Accept-Language", "en-US,en;q=0.9"),
    ("Accept-Encoding", "gzip, deflate, br"),
    ("Referer", "https://news.example.org/"),
];

/// Writes requests.
#[derive(Debug)]
pub(super) struct Requests {
    seed: u64,
    visitors: Visitors,
    templates: Vec<Template>,
    weight_sum: u32,
}

/// The requests to one URL.
#[derive(Debug)]
struct Template {
    /// The sum of the weights up to this one.
    weight_below: u32,
    parts: Vec<Part>,
}

#[derive(Debug)]
enum Part {
    Text(Vec<u8>),
    Number,
    Visitor,
    Random,
    Address,
    Agent,
}

impl Requests {
    pub(super) fn new(plan: &Plan) -> Self {
        let mut weight_sum = 0;
        let template = |target: &Target| {
            weight_sum += target.weight;
            Template { weight_below: weight_sum, parts: parts(plan, target) }
        };
        let templates = plan.targets.iter().map(template).collect();
        let visitors = Visitors { count: plan.visitors, seed: plan.seed };
        Self { seed: plan.seed, visitors, templates, weight_sum }
    }

    /// Appends request `number` to `out`.
    pub(super) fn write(&self, number: u64, out: &mut Vec<u8>) {
        let mut chance = Chance::of(self.seed, number);
        let visitor = self.visitors.visitor(chance.below(self.visitors.count));
        let pick = chance.below(self.weight_sum);
        let index = self.templates.partition_point(|template| template.weight_below <= pick);
        for part in self.templates.get(index).map_or(&[][..], |template| &template.parts) {
            match part {
                Part::Text(text) => out.extend_from_slice(text),
                Part::Number => decimal(number, out),
                Part::Visitor => decimal(visitor.number.into(), out),
                Part::Random => hexadecimal(chance.draw(), out),
                Part::Agent => out.extend_from_slice(visitor.agent.as_bytes()),
                Part::Address => {
                    for (index, octet) in visitor.address.octets().into_iter().enumerate() {
                        out.extend_from_slice(if index == 0 { b"" } else { b"." });
                        decimal(octet.into(), out);
                    }
                }
            }
        }
    }
}

fn parts(plan: &Plan, target: &Target) -> Vec<Part> {
    let mut parts = Parts::default();
    parts.text(plan.method().as_str());
    parts.text(" ");
    for piece in &target.pieces {
        match piece {
            Piece::Text(text) => parts.text(text),
            Piece::Number => parts.gap(Part::Number),
            Piece::Visitor => parts.gap(Part::Visitor),
            Piece::Random => parts.gap(Part::Random),
        }
    }
    parts.text(" HTTP/1.1\r\n");
    let is_free = |name: &str| !plan.headers.iter().any(|header| header.name.eq_ignore_ascii_case(name));
    if is_free("Host") {
        parts.header("Host", target.authority.as_str());
    }
    for (name, gap) in [("User-Agent", Part::Agent), ("X-Forwarded-For", Part::Address)] {
        if is_free(name) {
            parts.text(format!("{name}: "));
            parts.gap(gap);
            parts.text("\r\n");
        }
    }
    for (name, value) in BROWSER.into_iter().filter(|(name, _)| is_free(name)) {
        parts.header(name, value);
    }
    for Header { name, value } in &plan.headers {
        parts.header(name, value);
    }
    if plan.closes {
        parts.header("Connection", "close");
    }
    if !plan.body.is_empty() || plan.method() == http::Method::POST {
        parts.header("Content-Length", &plan.body.len().to_string());
    }
    parts.text("\r\n");
    parts.text(&plan.body);
    parts.0
}

/// Parts, with texts that meet made one.
#[derive(Debug, Default)]
struct Parts(Vec<Part>);

impl Parts {
    fn text(&mut self, text: impl AsRef<[u8]>) {
        match self.0.last_mut() {
            Some(Part::Text(last)) => last.extend_from_slice(text.as_ref()),
            _ => self.0.push(Part::Text(text.as_ref().to_vec())),
        }
    }

    fn header(&mut self, name: &str, value: &str) {
        self.text(format!("{name}: {value}\r\n"));
    }

    fn gap(&mut self, gap: Part) {
        self.0.push(gap);
    }
}

fn decimal(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [b'0'; 20];
    let mut first = digits.len() - 1;
    for (index, digit) in digits.iter_mut().enumerate().rev() {
        *digit += digit_of(number, 10);
        number /= 10;
        first = index;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(first..).unwrap_or_default());
}

fn hexadecimal(number: u64, out: &mut Vec<u8>) {
    let nibbles = (0..16).rev().map(|index| digit_of(number >> (4 * index), 16));
    out.extend(nibbles.map(|nibble| nibble + if nibble < 10 { b'0' } else { b'a' - 10 }));
}

/// The last digit.
fn digit_of(number: u64, base: u64) -> u8 {
    u8::try_from(number % base).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(urls: &[&str]) -> Plan {
        Plan::new(urls.iter().map(|url| url.parse().unwrap()).collect())
    }

    fn written(plan: &Plan, number: u64) -> String {
        let mut out = Vec::new();
        Requests::new(plan).write(number, &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn a_request_is_that_of_a_browser_behind_a_proxy() {
        let text = written(&plan(&["http://h:81/c/demo"]), 0);
        assert!(
            text.starts_with("GET /c/demo HTTP/1.1\r\nHost: h:81\r\nUser-Agent: Mozilla/5.0 ("),
            "{text}"
        );
        assert!(text.contains("\r\nX-Forwarded-For: ") && text.ends_with("\r\n\r\n"), "{text}");
        assert!((250..450).contains(&text.len()), "{}", text.len());
    }

    #[test]
    fn gaps_are_filled_anew_each_time_and_the_same_for_one_seed() {
        let plan = plan(&["http://h/c?n={n}&v={visitor}&r={random}"]);
        assert!(written(&plan, 18_446).starts_with("GET /c?n=18446&v="));
        assert_eq!(written(&plan, 7), written(&plan, 7));
        assert_ne!(written(&plan, 7), written(&Plan { seed: 1, ..plan.clone() }, 7));
        let random = written(&plan, 7).split_once("r=").unwrap().1[..17].to_owned();
        assert!(random.trim_end().len() == 16 && random.trim_end().bytes().all(|b| b.is_ascii_hexdigit()));
    }

    #[test]
    fn a_header_given_replaces_ours_and_a_body_has_its_length() {
        let mut plan = plan(&["http://h/"]);
        plan.headers = vec!["host: trk.example".parse().unwrap(), "X-A: b".parse().unwrap()];
        plan.body = b"{\"a\":1}".to_vec();
        plan.closes = true;
        let text = written(&plan, 0);
        assert!(text.starts_with("POST / HTTP/1.1\r\nUser-Agent"), "{text}");
        assert_eq!(text.to_lowercase().matches("host:").count(), 1, "{text}");
        let end = "host: trk.example\r\nX-A: b\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}";
        assert!(text.ends_with(end), "{text}");
    }

    #[test]
    fn urls_are_asked_for_by_their_weights() {
        let plan = plan(&["3*http://h/a", "http://h/b"]);
        let requests = Requests::new(&plan);
        let mut out = Vec::new();
        (0..4000).for_each(|number| requests.write(number, &mut out));
        let often = String::from_utf8(out).unwrap().matches("GET /a ").count();
        assert!((2850..3150).contains(&often), "{often} of 4000 with seed {}", plan.seed);
    }

    #[test]
    fn numbers_are_written_in_full() {
        for number in [0, 9, 10, u64::MAX] {
            let mut out = Vec::new();
            decimal(number, &mut out);
            out.push(b' ');
            hexadecimal(number, &mut out);
            assert_eq!(String::from_utf8(out).unwrap(), format!("{number} {number:016x}"));
        }
    }
}
