//! Costs of a file: what they come to in reports, which files are refused, and that they count once whatever kills the import.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::{Daemon, Place, chance, decided, given, output, settings};

fn command(file: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    settings(&mut command).args(["import", "costs"]).arg(file).args(arguments);
    command
}

fn import_costs(file: &Path, arguments: &[&str]) -> (Option<i32>, String) {
    let (code, said, error) = output(&mut command(file, arguments));
    (code, said + &error)
}

/// Rows of a report of two days, without its names and counts: dimensions, currency, cost.
fn costs(data: &str, by: &str) -> Vec<String> {
    costs_of(data, by, ["2026-01-03", "2026-01-04"])
}

fn costs_of(data: &str, by: &str, [from, to]: [&str; 2]) -> Vec<String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
    let period = ["--from", from, "--to", to];
    let command = command.args(["report", "--format", "json", "--by", by, "--data", data]).args(period);
    let (code, said, error) = output(command);
    assert_eq!((code, &*error), (Some(0), ""), "{said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let text = |value: &serde_json::Value| value.as_str().map_or(value.to_string(), str::to_owned);
    let row = |row: &serde_json::Value| {
        let values: Vec<String> = by.split(',').map(|name| text(&row["values"][name])).collect();
        let money = row["money"].as_object().unwrap();
        let costs: Vec<String> =
            money.iter().map(|(code, of)| format!("{} {code}", text(&of["cost"]))).collect();
        format!("{}: {}", values.join(","), costs.join(", "))
    };
    let mut rows: Vec<String> = report["rows"].as_array().unwrap().iter().map(row).collect();
    rows.sort();
    rows
}

#[test]
fn costs_of_a_file_are_spread_count_once_and_take_the_place_of_earlier_ones() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let clicks = place.file("clicks.csv", "id,time,campaign,cost\nold1,2026-01-03T07:00:00Z,spring,0.5\n");
    place.import(&given(&clicks)).unwrap();
    let file = place.file(
        "costs.csv",
        "Date;Campaign ID;Traffic source;Zone;Spend;Impressions\n\
         2026-01-03;spring;propeller;;24,00;100\n\
         2026-01-03;spring;;;0.000025;7\n\
         2026-01-03;autumn;propeller;97;12;7\n\
         2126-01-03;spring;propeller;;1;100\n\
         2026-01-03;;propeller;;1;100\n\
         2026-01-03;spring;propeller;;-1;100\n\
         2026-01-03;spring;propeller;;much;100\n\
         ;spring;propeller;;1;100\n",
    );
    let alone = ["--data", &data, "--map", "zone=Zone"];
    let (code, said) = import_costs(&file, &alone);
    assert!(said.ends_with("3 imported, 0 known already, 5 bad\n"), "{said}");
    assert_eq!(code, Some(0));
    // What clicks say themselves is beside it.
    assert_eq!(costs(&data, "campaign"), ["autumn: 12 USD", "spring: 24.500025 USD"]);
    let (_, said) = import_costs(&file, &alone);
    assert!(said.ends_with("0 imported, 3 known already, 5 bad\n"), "{said}");
    let hours = costs(&data, "hour,source");
    assert_eq!(hours.len(), 48);
    assert!(hours.contains(&"2026-01-03T00,: 0.000002 USD".to_owned()), "{hours:?}");
    assert!(hours.contains(&"2026-01-03T23,: 0.000001 USD".to_owned()), "{hours:?}");
    assert!(hours.contains(&"2026-01-03T23,propeller: 1.5 USD".to_owned()), "{hours:?}");
    assert_eq!(costs(&data, "zone"), ["97: 12 USD", ": 24.500025 USD"]);

    // Corrected beside a daemon, whole days by single hours too.
    let daemon = Daemon::start(place.folder.path());
    let operators = daemon.operators.to_string();
    let beside = ["--data", &data, "--admin", &operators];
    let more = place.file(
        "more.csv",
        "hour,campaign,source,cost,currency\n2026-01-03T05,spring,propeller,0.25,USD\n\
         2026-01-03T06,spring,propeller,3,USD\n2026-01-03T06,spring,propeller,2,EUR\n",
    );
    for expected in ["3 imported, 0 known already, 0 bad\n", "0 imported, 3 known already, 0 bad\n"] {
        let (_, said) = import_costs(&more, &beside);
        assert!(said.ends_with(expected), "{said}");
    }
    let all = ["autumn: 0 EUR, 12 USD", "spring: 2 EUR, 25.750025 USD"];
    assert_eq!(costs(&data, "campaign"), all);
    let (_, said) = import_costs(&file, &[&beside[..], &alone[2..]].concat());
    assert!(said.ends_with("1 imported, 2 known already, 5 bad\n"), "{said}");
    daemon.stop();
    let all = ["autumn: 0 EUR, 12 USD", "spring: 2 EUR, 24.500025 USD"];
    assert_eq!(costs(&data, "campaign"), all);

    // Nobody stumbles over them.
    for (arguments, part) in [
        (&["verify"][..], ""),
        (&["inspect", "--kind", "postbacks"], "cost 1 USD campaign=\"spring\" source=\"propeller\""),
        (&["export", "conversions"], ""),
        (&["tail", "postbacks"], ""),
        (&["tail", "conversions"], ""),
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_clicklog"));
        let (code, said, error) = output(command.args(arguments).args(["--data", &data]));
        assert_eq!(code, Some(0), "{arguments:?}: {said}{error}");
        assert!(said.contains(part), "{arguments:?}: {said}");
    }
    assert!(decided(&data).is_empty());
    let daemon = Daemon::start(place.folder.path());
    daemon.stop();
}

#[test]
fn a_file_in_which_lines_would_replace_one_another_is_refused_with_the_way_out() {
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let day = "2026-01-03,spring";
    for (columns, lines, parts) in [
        // By zone, which nobody has named.
        (
            "Placement ID,Impressions",
            ["5,97,100", "7,98,100"],
            &["lines 3 and 4", "(\"Placement ID\")", "--map placementid=\"Placement ID\""][..],
        ),
        (
            "Impressions,Site",
            ["5,7,a", "7,8,b"],
            &["(\"Impressions\", \"Site\")", "add such lines up before"],
        ),
        // Twice, or two amounts.
        ("Impressions,Site", ["5,7,a", "5,7,a"], &["lines 3 and 4", "leave one out, or add them up"]),
        ("Impressions,Site", ["5,7,a", "6,7,a"], &["leave one out, or add them up"]),
    ] {
        let text = format!(
            "date,campaign,cost,{columns}\n2026-01-04,spring,1,1,1\n{day},{}\n{day},{}\n",
            lines[0], lines[1]
        );
        let file = place.file("costs.csv", text);
        for more in [&[][..], &["--dry-run"]] {
            let (code, said) = import_costs(&file, &[&["--data", &data], more].concat());
            assert_eq!(code, Some(1), "{columns}: {said}");
            assert!(said.contains("nothing was imported"), "{columns}: {said}");
            parts.iter().for_each(|part| assert!(said.contains(part), "{part}: {said}"));
        }
    }
    // An hour of a day that has a line of its own.
    let file = place.file("hours.csv", "from,to,campaign,cost\n2026-01-03,2026-01-03,spring,24\n2026-01-03T07,2026-01-03T08:00:00Z,spring,9\n");
    assert!(import_costs(&file, &["--data", &data]).1.contains("lines 2 and 3"));
    assert!(costs(&data, "campaign").is_empty(), "nothing is imported of a file that is refused");
    assert_eq!(place.states(), 0);

    // With its column named all of it counts; so do lines that differ in anything that is kept.
    let text =
        format!("date,campaign,cost,currency,Placement ID\n{day},5,USD,97\n{day},7,USD,98\n{day},1,EUR,98\n");
    let file = place.file("costs.csv", text);
    let (code, said) = import_costs(&file, &["--data", &data, "--map", "zone=Placement ID"]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(costs(&data, "campaign"), ["spring: 1 EUR, 12 USD"]);
    assert_eq!(costs(&data, "zone"), ["97: 0 EUR, 5 USD", "98: 1 EUR, 7 USD"]);
}

#[test]
fn one_campaign_by_its_id_and_by_an_alias_is_one_campaign() {
    let place = Place::new();
    let catalog = place.file(
        "catalog.toml",
        "[[offer]]\nid = \"o\"\nurl = \"https://offer.example/\"\n\
         [[campaign]]\nid = \"spring\"\naliases = [\"6c9d\", \"2\"]\noffers = [{ id = \"o\" }]\n",
    );
    let variable = [("CLICKLOG_CATALOG__PATH", catalog.to_str().unwrap())];
    let data = place.data().to_str().unwrap().to_owned();
    let daemon = Daemon::start_with(place.folder.path(), &variable);
    // It alone knows the catalog.
    let operators = daemon.operators.to_string();
    let beside = ["--data", &*data, "--admin", &*operators];
    let doubled = [("spring", "6c9d"), ("2", "spring"), ("6c9d", "2")].map(|(first, second)| {
        let text = format!("date,campaign,cost\n2026-01-03,{first},5\n2026-01-03,{second},7\n");
        place.file(&format!("{first}.csv"), text)
    });
    for file in &doubled {
        let (code, said) = import_costs(file, &beside);
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("nothing was imported: lines 2 and 3"), "{said}");
    }
    let good = place
        .file("good.csv", "date,campaign,cost\n2026-01-03,spring,5\n2026-01-03,other,7\n2026-01-04,2,7\n");
    assert_eq!(import_costs(&good, &beside).0, Some(0));
    daemon.stop();
    for file in &doubled {
        for more in [&[][..], &["--dry-run"]] {
            let mut command = command(file, &[&["--data", &data], more].concat());
            let (code, _, said) = output(command.envs(variable));
            assert_eq!(code, Some(1), "{more:?}: {said}");
            assert!(said.contains("nothing was imported: lines 2 and 3"), "{more:?}: {said}");
        }
    }
    assert_eq!(costs(&data, "campaign"), ["other: 7 USD", "spring: 12 USD"]);
}

/// What costs every hour of January by campaign, and the sums: three chunks of lines.
fn january(random: &mut impl FnMut(u64) -> u64) -> (String, BTreeMap<String, u64>) {
    let (mut lines, mut sums) = (String::from("hour,campaign,zone,cost\n"), BTreeMap::new());
    for hour in 0..31 * 24 {
        for campaign in 0..32 {
            let (zone, micros) = (campaign % 5, random(3_000_000) + 1);
            let (name, (day, hour)) = (format!("c{campaign:02}"), (hour / 24 + 1, hour % 24));
            lines.push_str(&format!(
                "2026-01-{day:02}T{hour:02},{name},{zone},{}.{:06}\n",
                micros / 1_000_000,
                micros % 1_000_000
            ));
            *sums.entry(name).or_insert(0) += micros;
        }
    }
    (lines, sums)
}

/// The import is killed, alone and beside a daemon, or the daemon is; it is run again until it ends.
#[test]
fn killed_again_and_again_each_line_of_costs_counts_once() {
    let (seed, mut random) = chance();
    eprintln!("seed {seed}");
    let place = Place::new();
    let data = place.data().to_str().unwrap().to_owned();
    let (lines, sums) = january(&mut random);
    let file = place.file("costs.csv", &lines);
    let alone = ["--format", "json", "--data", &*data];
    let (mut kills, mut is_done) = (0, false);
    for round in 0..12 {
        let daemon = (round % 3 > 0).then(|| Daemon::start(place.folder.path()));
        let operators = daemon.as_ref().map_or_else(String::new, |daemon| daemon.operators.to_string());
        let beside = [&alone[..], &["--admin", &operators]].concat();
        let arguments = if daemon.is_some() { &beside[..] } else { &alone };
        let mut command = command(&file, arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        // Chance, not waiting for anything: where it is killed is what differs from round to round.
        std::thread::sleep(Duration::from_millis(random(600)));
        kills += u32::from(child.try_wait().unwrap().is_none());
        match daemon {
            // Dropped, it is killed.
            Some(daemon) if round % 3 == 1 => drop(daemon),
            Some(_) | None => child.kill().unwrap(),
        }
        is_done |= child.wait().unwrap().success();
    }
    let (code, said) = import_costs(&file, &alone);
    assert_eq!(code, Some(0), "seed {seed}, {kills} kills: {said}");
    let report: serde_json::Value = serde_json::from_str(&said).unwrap();
    let counted = ["imported", "known", "bad"].map(|name| report[name].as_u64().unwrap());
    let all = 31 * 24 * 32;
    // Where a run came to its end in between, each line was known to those after it.
    let is_each_once = counted == [all, 0, 0] || counted == [0, all, 0];
    assert!(is_each_once, "seed {seed}, {kills} kills, {is_done}: {counted:?} of {all}");
    let shown = |(name, micros): (&String, &u64)| {
        let amount = format!("{}.{:06}", micros / 1_000_000, micros % 1_000_000);
        format!("{name}: {} USD", amount.trim_end_matches('0').trim_end_matches('.'))
    };
    let expected: Vec<String> = sums.iter().map(shown).collect();
    assert_eq!(
        costs_of(&data, "campaign", ["2026-01-01", "2026-01-31"]),
        expected,
        "seed {seed}, {kills} kills"
    );
    assert_eq!(place.states(), 0, "seed {seed}");
    eprintln!("seed {seed}: {kills} kills");
}
