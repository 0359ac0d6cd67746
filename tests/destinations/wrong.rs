//! What is wrong with a destination is shown with its line, a caret and a way out, and no secret is in it.

use super::{SECRETS, parse};

const URL: &str = "url = \"https://p.example/?c={click_id}\"";

/// What the postback `p` with these lines is told. Lines count from its own.
fn wrong(lines: &str) -> String {
    let text = format!("[[postback]]\nid = \"p\"\n{lines}\n{SECRETS}");
    parse(&text).err().unwrap_or_else(|| panic!("nothing is wrong with\n{text}")).to_string()
}

/// Lines with the place of the URL filled in, what is told, and what the caret stands below.
#[test]
fn every_mistake_is_shown_where_it_is() {
    let cases = [
        ("", "2:6: a postback needs a url, or a preset that has one", "\"p\""),
        ("U\nurk = 1", "4:1: unknown key \"urk\"", "urk"),
        ("url = \"https://{sub1}.example/\"", "3:", "{sub1}"),
        ("url = \"https://p.example:99999/\"", "3:7: a port is 1 to 65535", "\"https://p.example:99999/\""),
        ("url = \"http://a..b/\"", "3:7: the host is no name", "\"http://a..b/\""),
        ("url = \"http://10.1.2.3/\"", "3:7: 10.1.2.3 is not public (private)", "\"http://10.1.2.3/\""),
        ("url = \"http://[::1]:81/\"", "(loopback)", "\"http://[::1]:81/\""),
        ("url = \"http://2130706433/\"", "(loopback)", "\"http://2130706433/\""),
        (
            "url = \"http://169.254.169.254/\"\nallow_addresses = [\"169.254.0.0/16\"]",
            "(metadata service of a cloud)",
            "\"http://169.254.169.254/\"",
        ),
        ("U\nallow_addresses = [\"10.0.0.0/33\"]", "4:20: must be a network", "\"10.0.0.0/33\""),
        ("U\non = [\"aproved\"]", "unknown value \"aproved\"", "\"aproved\""),
        ("U\nmethod = \"PATCH\"", "unknown value \"PATCH\"", "\"PATCH\""),
        ("U\njson = \"1\"\nmethod = \"GET\"", "5:10: a GET has no body", "\"GET\""),
        ("U\njson = \"1\"\nform = \"a=1\"", "5:8: a request has one body", "\"a=1\""),
        (
            "U\njson = '{\"a\":{payout}'",
            "4:8: it is no JSON once its placeholders are filled",
            "'{\"a\":{payout}'",
        ),
        ("U\njson = '{\"a\":\"{payuot}\"}'", "did you mean {payout}?", "{payuot}"),
        ("U\nheaders = { Host = \"x\" }", "4:13: the header \"Host\" is made by the client itself", "Host"),
        ("U\nheaders = { Proxy-Authorization = \"x\" }", "made by the client itself", "Proxy-Authorization"),
        ("U\nheaders = { \"X Y\" = \"x\" }", "must be a header's name", "\"X Y\""),
        ("U\nheaders = { X = \"a\", x = \"b\" }", "the header \"x\" stands here twice", "x"),
        ("U\nheaders = { X = \"{secret:nope}\" }", "{secret:nope}", "{secret:nope}"),
        ("U\nheaders = { Content-Type = \"a/b\" }", "belongs to a body", "\"a/b\""),
        (
            "U\nsign = { env = \"KEY\" }\nheaders = { Webhook-Id = \"x\" }",
            "\"Webhook-Id\" is made with the signature",
            "Webhook-Id",
        ),
        (
            "U\noauth = { file = \"/t\" }\nheaders = { authorization = \"x\" }",
            "is made of the token that oauth gives",
            "authorization",
        ),
        ("U\nsign = { env = \"SHORT\" }", "4:8: the signing secret", "{ env = \"SHORT\" }"),
        ("U\nsign = { env = \"NOT_THERE\" }", "NOT_THERE is not set", "{ env = \"NOT_THERE\" }"),
        (
            "U\nsign = [{ env = \"KEY\" }, { env = \"KEY\" }, { env = \"KEY\" }]",
            "one key, or two",
            "[{ env = \"KEY\" }, { env = \"KEY\" }, { env = \"KEY\" }]",
        ),
        ("U\npercent = \"101%\"", "4:11: must be a share like \"12.5%\"", "\"101%\""),
        ("U\npercent = \"0.001%\"", "must be a share", "\"0.001%\""),
        ("U\npayout_percent = \"-5%\"", "must be a share", "\"-5%\""),
        ("U\npayout = { min = \"2\", max = \"1\" }", "must be at least min, which is 2", "\"1\""),
        ("U\npayout = { currency = \"Euro\" }", "4:23: ", "\"Euro\""),
        ("U\ndelay = \"31d\"", "4:9: must be a duration", "\"31d\""),
        ("U\ndelay = \"5m\"\nmax_age = \"5m\"", "must be more than the delay", "\"5m\""),
        ("U\nmax_age = \"0\"", "must be at least \"1s\"", "\"0\""),
        ("U\nhorizon = \"73h\"", "up to \"72h\"", "\"73h\""),
        ("U\ntimeout = \"121s\"", "up to \"2m\"", "\"121s\""),
        ("U\ntimeout = \"500ms\"", "must be at least \"1s\"", "\"500ms\""),
        ("U\nrate_limit = { per_second = 0 }", "4:29: must be at least 1", "0"),
        ("U\ndaily_cap = 0", "4:13: must be at least 1", "0"),
        ("U\nconcurrency = 65", "4:15: must be 2 to 64", "65"),
        ("U\nsuccess = { status = [\"204-200\"] }", "must be a status like 204", "\"204-200\""),
        ("U\nsuccess = { status = [999] }", "must be a status like 204", "999"),
        ("U\nsuccess = { status = [] }", "nothing is ever a success", "[]"),
        (
            "U\nsuccess = { json = { pointer = \"code\", equals = 0 } }",
            "must be a place in a JSON document",
            "\"code\"",
        ),
        ("U\nsuccess = { json = { equals = 0 } }", "it needs \"pointer\"", "{ equals = 0 }"),
        (
            "U\nsuccess = { json = { pointer = \"/a\", equals = 0, absent = true } }",
            "it needs one of equals",
            "{ pointer = \"/a\", equals = 0, absent = true }",
        ),
        ("U\nsuccess = { contains = \"\" }", "stands in every body", "\"\""),
        ("U\nbatch = { max = 2 }", "2:6: a batch needs a json body", "\"p\""),
        (
            "url = \"https://p.example/{click_id}\"\njson = \"1\"\nbatch = {}",
            "3:7: {click_id} differs from delivery to delivery",
            "\"https://p.example/{click_id}\"",
        ),
        ("V\njson = \"1\"\nbatch = { max = 2001 }", "must be 1 to 2000", "2001"),
        ("V\njson = \"1\"\nbatch = { wait = \"6m\" }", "up to \"5m\"", "\"6m\""),
        ("V\njson = \"1\"\nbatch = { wrap = \"[]\" }", "wrap needs one {items}", "\"[]\""),
        ("V\njson = \"1\"\nbatch = { wrap = '{\"a\":[{items}}' }", "it is no JSON", "'{\"a\":[{items}}'"),
        (
            "V\njson = \"1\"\nbatch = { results = { list = \"/r\" } }",
            "it needs \"taken\"",
            "{ list = \"/r\" }",
        ),
        ("U\ncertificate = \"/c.pem\"", "go together", "\"/c.pem\""),
        ("U\nca = \"/nowhere/ca.pem\"", "cannot read /nowhere/ca.pem", "\"/nowhere/ca.pem\""),
        ("U\nca = \"/\"", "is no file", "\"/\""),
        ("U\nproxy = \"proxy.example\"", "must be a proxy like", "\"proxy.example\""),
        (
            "U\nproxy = \"http://127.0.0.1:3128\"",
            "127.0.0.1 is not public (loopback)",
            "\"http://127.0.0.1:3128\"",
        ),
        ("U\noauth = {}", "oauth needs a file, or a url", "\"p\""),
        ("U\noauth = { url = \"t.example\" }", "not an absolute http or https URL", "\"t.example\""),
        (
            "U\noauth = { url = \"https://t.example/\", grant = \"refresh_token\" }",
            "a refresh_token belongs to the grant",
            "\"refresh_token\"",
        ),
        (
            "U\noauth = { url = \"https://t.example/\" }",
            "needs a client_id and a client_secret",
            "\"https://t.example/\"",
        ),
        ("U\noauth = { url = \"http://192.168.1.1/\" }", "(private)", "\"http://192.168.1.1/\""),
        ("U\nvalues = { pixel = \"1\" }", "values are for a preset", "pixel"),
        ("preset = \"meta\"", "no preset \"meta\"", "\"meta\""),
        ("preset = \"mgid\"", "3:10: the preset \"mgid\" needs a value for \"event\"", "\"mgid\""),
        ("preset = \"mgid\"\nvalues = { evnt = \"x\" }", "4:12: no value of this preset \"evnt\"", "evnt"),
        (
            "preset = \"mgid\"\nvalues = { event = \"secret:tokn\" }",
            "4:20: no secret \"tokn\" in [secrets]",
            "\"secret:tokn\"",
        ),
        // What is wrong with a preset once it is filled is shown where the preset is named.
        (
            "preset = \"exoclick\"\nvalues = { goal = \"g\", host = \"127.0.0.1\" }",
            "(loopback)",
            "\"exoclick\"",
        ),
    ];
    for (lines, what, below) in cases {
        let lines = match lines.split_at_checked(1) {
            Some(("U", rest)) => format!("{URL}{rest}"),
            Some(("V", rest)) => format!("url = \"https://p.example/\"{rest}"),
            _ => lines.to_owned(),
        };
        let shown = wrong(&lines);
        assert!(shown.contains(what), "{lines}\n---\n{shown}");
        assert!(points_at(&shown, below), "{below:?} is not what is meant\n{shown}");
        assert!(!shown.contains("hush"), "{shown}");
    }
}

/// Whether some caret stands below just this.
fn points_at(shown: &str, below: &str) -> bool {
    let lines: Vec<&str> = shown.lines().collect();
    lines.windows(2).any(|pair| {
        let Some(start) = pair[1].find('^') else { return false };
        let width = pair[1].chars().filter(|letter| *letter == '^').count();
        let meant: String = pair[0].chars().skip(start).take(width).collect();
        meant == below
    })
}

#[test]
fn a_private_address_is_told_with_what_would_allow_it() {
    let shown = wrong("url = \"http://10.1.2.3:8080/hook\"\njson = \"1\"");
    assert!(shown.contains("allow_addresses = [\"10.1.2.3\"]"), "{shown}");
    let text =
        "[[postback]]\nid = \"p\"\nurl = \"http://10.1.2.3:8080/\"\nallow_addresses = [\"10.1.2.3\"]\n";
    assert!(parse(text).is_ok());
}

#[test]
fn a_missing_value_is_told_with_how_to_give_it() {
    assert!(wrong("preset = \"mgid\"").contains("values = { event = \"…\" }"));
    assert!(wrong("preset = \"mgid\"\nvalues = { evnt = \"x\" }").contains("did you mean \"event\"?"));
}

#[test]
fn what_two_levels_say_must_agree_and_no_level_says_a_thing_twice() {
    let limits = |second: &str| {
        parse(&format!(
            "[[source]]\nid = \"s\"\n[[source.postback]]\nid = \"p\"\n{URL}\nrate_limit = {{ per_second = 5 }}\ndaily_cap = 9\nconcurrency = 4\n\
             [[postback]]\nid = \"p\"\n{URL}\n{second}\n"
        ))
    };
    for same in ["", "rate_limit = { per_second = 5, burst = 5 }", "daily_cap = 9", "concurrency = 4"] {
        assert!(limits(same).is_ok(), "{same}");
    }
    for (other, key) in [
        ("rate_limit = { per_second = 6 }", "rate_limit"),
        ("daily_cap = 8", "daily_cap"),
        ("concurrency = 5", "concurrency"),
    ] {
        let shown = limits(other).unwrap_err().to_string();
        let what = format!("another level has another {key} for \"p\"");
        assert!(shown.contains(&what) && shown.contains("c.toml:12:"), "{shown}");
    }
    for twice in [
        format!("[[postback]]\nid = \"p\"\n{URL}\n[[postback]]\nid = \"p\"\n{URL}\n"),
        format!(
            "[[source]]\nid = \"s\"\n[[source.postback]]\nid = \"p\"\n{URL}\n[[source.postback]]\nid = \"p\"\n{URL}\n"
        ),
    ] {
        let shown = parse(&twice).unwrap_err().to_string();
        assert!(shown.contains("two postbacks of this level are called \"p\""), "{shown}");
    }
    let nameless = parse(&format!("[[postback]]\n{URL}\n")).unwrap_err().to_string();
    assert!(nameless.contains("2:7: a postback needs an id"), "{nameless}");
    let many: String = (0..65).map(|n| format!("[[postback]]\nid = \"p{n}\"\n{URL}\n")).collect();
    assert!(parse(&many).unwrap_err().to_string().contains("a level has at most 64 postbacks"));
}

#[test]
fn hosts_are_checked_too() {
    let cases = [
        ("name = \"ftp://h.example\"", "2:8: must be a host like"),
        ("name = \"h.example/x\"", "must be a host like"),
        ("name = \"h.example:0\"", "must be a host like"),
        ("name = \"h.example:99999\"", "must be a host like"),
        ("name = \"a..b\"", "must be a host like"),
        ("name = \"h.example\"\nconcurrency = 0", "3:15: must be 1 to 1000"),
        ("name = \"h.example\"\nrate_limit = { per_second = 1, burst = 0 }", "must be at least 1"),
        ("name = \"h.example\"\n[[host]]\nname = \"http://H.example\"", "4:8: there is another host"),
        ("name = \"h.example\"\nrate = 1", "unknown key \"rate\""),
    ];
    for (lines, what) in cases {
        let shown = parse(&format!("[[host]]\n{lines}\n")).unwrap_err().to_string();
        assert!(shown.contains(what) && shown.contains('^'), "{lines}\n{shown}");
    }
}
