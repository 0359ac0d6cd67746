//! A made-up postback, taken through everything and explained step by step.

use maud::{Markup, html};
use serde::Deserialize;

use super::parts::{Request, mark, told};
use super::{Frame, Page, Params};
use crate::admin::console::layout::capital;
use crate::admin::console::text;
use crate::admin::{ApiError, Operations, PostbackTest};

/// Networks that can be chosen; with more, their id is written.
const NETWORKS_MAX: usize = 500;
/// Further parameters.
const PARAMS_MAX: usize = 32;

#[derive(Debug, Deserialize)]
struct Told {
    is_kept: bool,
    steps: Vec<Step>,
    verdict: Option<String>,
    reason: Option<String>,
    #[serde(default)]
    deliveries: Vec<WouldTell>,
}

#[derive(Debug, Deserialize)]
struct Step {
    step: String,
    found: String,
}

#[derive(Debug, Deserialize)]
struct WouldTell {
    destination: String,
    level: String,
    why_not: Option<String>,
    delay_seconds: u64,
    request: Option<Request>,
    no_request: Option<String>,
}

pub(super) fn ask(does: &dyn Operations, query: &Params, frame: &Frame) -> Result<Page, ApiError> {
    let main = html! {
        p.hint { "What would become of a network's postback, step by step. Nothing that counts is kept, and nothing is sent." }
        section.card { (frame.form("test", &fields(does, query, true)).into_markup()) }
    };
    Ok(Page::new("Test postback", main))
}

pub(super) fn run(does: &dyn Operations, form: &Params) -> Result<Page, ApiError> {
    let given = |name: &str| form.get(name).map(str::trim).filter(|text| !text.is_empty());
    let mut params = Vec::new();
    for line in given("params").unwrap_or_default().lines().map(str::trim).filter(|line| !line.is_empty()) {
        let pair = line.split_once('=').filter(|_| params.len() < PARAMS_MAX);
        let why = || {
            ApiError::Bad(format!("{line:?}: parameters are NAME=VALUE, one a line, {PARAMS_MAX} at most"))
        };
        let (name, value) = pair.ok_or_else(why)?;
        params.push((name.to_owned(), value.to_owned()));
    }
    let test = PostbackTest {
        network: given("network").unwrap_or_default().to_owned(),
        click: given("click").map(str::to_owned),
        dry_run: form.get("keep").is_none(),
        params,
    };
    let told: Told = told(does.test_postback(&test))?;
    let again = text::link(
        &["test"],
        &[
            ("network", &test.network),
            ("click", test.click.as_deref().unwrap_or_default()),
            ("params", given("params").unwrap_or_default()),
        ],
    );
    let main = html! {
        section.card {
            div.head { h2 { (mark(told.verdict.as_deref().unwrap_or("rejected"))) " " (text::words(told.reason.as_deref().unwrap_or_default())) } a href=(again) { "Change it and try again" } }
            div.wide tabindex="0" role="region" aria-label="Steps" {
                table {
                    caption.away { "What each step found" }
                    thead { tr { th scope="col" { "Step" } th scope="col" { "Found" } } }
                    tbody {
                        @for Step { step, found } in &told.steps { tr { th scope="row" { (capital(step)) } td.target { (found) } } }
                        tr { th scope="row" { "Kept" } td { @if told.is_kept { "as a test, which counts nowhere" } @else { "nothing" } } }
                    }
                }
            }
        }
        @for of in &told.deliveries { (would_tell(of)) }
    };
    Ok(Page::new(format!("Test postback of {}", test.network), main))
}

fn fields(does: &dyn Operations, query: &Params, is_first: bool) -> Markup {
    let networks = does.network_ids();
    let network = query.get("network").unwrap_or_default();
    html! {
        div.fields {
            label { "Network"
                @if networks.len() <= NETWORKS_MAX && !networks.is_empty() {
                    select name="network" required autofocus[is_first] {
                        @for id in &networks { option value=(id) selected[id == network] { (id) } }
                    }
                } @else {
                    input name="network" value=(network) required;
                }
            }
            label { "Click id" input name="click" value=(query.get("click").unwrap_or_default()) autocomplete="off"; }
            label { "Further parameters, as the network would send them: NAME=VALUE, one a line"
                textarea name="params" rows="4" spellcheck="false" { (query.get("params").unwrap_or_default()) }
            }
            label.check { input type="checkbox" name="keep" value="1"; " Keep it in the journal, as a test that counts nowhere" }
        }
        button.main { "Explain" }
    }
}

fn would_tell(of: &WouldTell) -> Markup {
    html! {
        section.card {
            div.head { h2 { "To " (of.destination) } span.soft { "named by the " (of.level) } }
            p {
                @match (&of.why_not, of.delay_seconds) {
                    (Some(why), _) => { "Would not be told: " (why) ". If it were:" }
                    (None, 0) => { "Would be told at once." }
                    (None, delay) => { "Would be told after " (text::seconds(delay)) "." }
                }
            }
            @if let Some(request) = &of.request { (request.show()) }
            @if let Some(why) = &of.no_request { p.hint { "No request can be made: " (why) "." } }
        }
    }
}
