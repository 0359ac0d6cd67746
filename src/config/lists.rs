//! Lists of bots, browsers and data centres: files that an operator may replace.
//!
//! In: plain lists (one entry a line, `#` begins a comment), or the IAB/ABC International Spiders & Bots List as it is
//! handed out (`pattern|active|…`; in the list of robots the third field holds exceptions, parted by commas). Out: the
//! lists as the edge searches them.

use std::path::Path;

use ipnet::IpNet;

use super::problem::{Problem, Problems, Source};
use super::settings::Labels;
use super::value::Value;
use crate::ingest::Lists;

/// What the user agents of bots contain.
const BOTS: &str = include_str!("../../config/bots.txt");
/// Networks of data centres.
const DATA_CENTRES: &str = include_str!("../../config/data-centres.txt");
/// Entries of one list.
const ENTRIES_MAX: usize = 200_000;
/// Bytes of one file.
const FILE_BYTES_MAX: u64 = 64 << 20;

/// Loads the lists that the settings name.
///
/// # Errors
/// What is wrong with which file.
pub fn load(labels: &Labels) -> Result<Lists, Problems> {
    let mut problems = Problems::default();
    let bots = source(&labels.bots, "built-in list of bots", BOTS)?;
    let exceptions = source(&labels.bot_exceptions, "bot exceptions", "")?;
    let browsers = source(&labels.browsers, "browsers", "")?;
    let data_centres = source(&labels.data_centres, "built-in list of data centres", DATA_CENTRES)?;
    let (bots, mut cleared) = patterns(&bots);
    cleared.extend(patterns(&exceptions).0);
    let browsers = patterns(&browsers).0;
    let nets = networks(&data_centres, &mut problems);
    let sizes =
        [(&labels.bots, bots.len()), (&labels.browsers, browsers.len()), (&labels.data_centres, nets.len())];
    for (path, _) in sizes.iter().filter(|(_, entries)| *entries > ENTRIES_MAX) {
        problems.add(Problem::at(
            path.display().to_string(),
            format!("a list has at most {ENTRIES_MAX} entries"),
        ));
    }
    problems.unless_any(())?;
    let lists = Lists::new(&bots, &cleared, &browsers, &nets);
    let lists = lists.map_err(|error| Problem::at(labels.bots.display().to_string(), error.to_string()))?;
    with_geo(lists, labels)
}

#[cfg(feature = "geo")]
fn with_geo(lists: Lists, labels: &Labels) -> Result<Lists, Problems> {
    let mut databases = Vec::new();
    for path in &labels.geo {
        let database = crate::ingest::GeoDatabase::open(path)
            .map_err(|error| Problem::at(path.display().to_string(), error.to_string()))?;
        databases.push(database);
    }
    Ok(lists.with_geo(databases))
}

#[cfg(not(feature = "geo"))]
fn with_geo(lists: Lists, labels: &Labels) -> Result<Lists, Problems> {
    match labels.geo.first() {
        Some(path) => {
            let what = "this build cannot read it: it was made without the feature \"geo\"";
            Err(Problem::at(path.display().to_string(), what).into())
        }
        None => Ok(lists),
    }
}

fn source(path: &Path, name: &str, built_in: &str) -> Result<Source, Problem> {
    if path.as_os_str().is_empty() {
        return Ok(Source::new(Path::new(name), built_in.to_owned()));
    }
    let problem = |what: String| Problem::at(path.display().to_string(), what);
    let metadata = std::fs::metadata(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
    if metadata.len() > FILE_BYTES_MAX {
        return Err(problem("a list has at most 64 MiB".to_owned()));
    }
    let bytes = std::fs::read(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
    // The IAB's files are Latin-1; patterns that are not ASCII are rare and compared as they look.
    let text = String::from_utf8(bytes)
        .unwrap_or_else(|error| error.into_bytes().iter().map(|b| char::from(*b)).collect());
    Ok(Source::new(path, text))
}

/// Lines that say something, with where they begin.
fn lines(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let start = source.text().as_ptr().addr();
    source.text().lines().filter_map(move |line| {
        let line = line.trim();
        let is_entry = !line.is_empty() && !line.starts_with('#');
        is_entry.then(|| (line.as_ptr().addr() - start, line))
    })
}

/// Patterns, and exceptions to them.
fn patterns(source: &Source) -> (Vec<String>, Vec<String>) {
    let (mut patterns, mut exceptions) = (Vec::new(), Vec::new());
    for (_, line) in lines(source) {
        let mut fields = line.split('|').map(str::trim);
        let pattern = fields.next().unwrap_or_default();
        let is_active = fields.next().is_none_or(|flag| flag != "0");
        if pattern.is_empty() || !is_active {
            continue;
        }
        patterns.push(pattern.to_owned());
        let except = fields.next().unwrap_or_default().split(',').map(str::trim);
        // In the list of browsers the third field is a flag.
        exceptions.extend(except.filter(|text| text.len() > 1).map(str::to_owned));
    }
    (patterns, exceptions)
}

fn networks(source: &Source, problems: &mut Problems) -> Vec<IpNet> {
    let mut networks = Vec::new();
    for (at, line) in lines(source) {
        let text = line.split(['#', ',', ' ', '\t']).next().unwrap_or_default();
        match IpNet::from_text(text) {
            Some(network) => networks.push(network),
            None => problems.add(source.problem(at..at + text.len(), format!("must be {}", IpNet::WHAT))),
        }
    }
    networks
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::click::Labels as Found;

    #[test]
    fn plain_lists_and_the_iab_s_are_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let labels = Labels {
            bots: file("bots", "# robots\nbot|1|cubot,robottle|0|0|0\nold|0||\ncurl/\n"),
            browsers: file("browsers", "Mozilla|1|1\r\nOpera|1|0\r\n"),
            data_centres: file("nets", "203.0.113.0/24 # there\n2001:db8::1\n"),
            ..Labels::default()
        };
        let lists = load(&labels).unwrap();
        let home = "198.51.100.1".parse().unwrap();
        for (agent, expected) in [
            ("Mozilla/5.0 Chrome", Found::default()),
            ("Mozilla/5.0 GoogleBot", Found::BOT),
            ("Mozilla/5.0 CUBOT", Found::default()),
            ("Mozilla/5.0 older", Found::default()),
            ("Opera curl/8", Found::BOT),
            ("Something else", Found::BOT),
        ] {
            assert_eq!(lists.labels(agent, home), expected, "{agent}");
        }
        assert_eq!(lists.labels("Mozilla", "203.0.113.9".parse().unwrap()), Found::DATA_CENTRE);
    }

    #[test]
    fn what_is_no_network_is_shown_with_its_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nets");
        std::fs::write(&path, "10.0.0.0/8\n10.0.0.0/99\n").unwrap();
        let shown = load(&Labels { data_centres: path, ..Labels::default() }).unwrap_err().to_string();
        assert!(shown.contains("nets:2:1: must be a network like"), "{shown}");
        let missing = Labels { bots: "/nowhere/bots".into(), ..Labels::default() };
        assert!(load(&missing).unwrap_err().to_string().contains("/nowhere/bots: cannot be read"));
    }

    #[test]
    fn the_built_in_lists_know_what_they_should() {
        let lists = load(&Labels::default()).unwrap();
        let home = "198.51.100.1".parse().unwrap();
        for bot in [
            "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
            "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
            "curl/8.5.0",
            "python-requests/2.32.3",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/130.0.0.0 Safari/537.36",
        ] {
            assert_eq!(lists.labels(bot, home), Found::BOT, "{bot}");
        }
        for browser in [
            "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Safari/537.36",
            "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 \
             Mobile/15E148 Safari/604.1",
            "Mozilla/5.0 (Linux; Android 9; CUBOT NOTE 20) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/130.0.0.0 Mobile \
             Safari/537.36",
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:131.0) Gecko/20100101 Firefox/131.0",
        ] {
            assert_eq!(lists.labels(browser, home), Found::default(), "{browser}");
        }
        assert_eq!(lists.labels("Mozilla", "52.95.110.1".parse().unwrap()), Found::DATA_CENTRE);
    }
}
