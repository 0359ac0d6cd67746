//! What is on disk: segments, what is published of them, what goes with age and what was asked to.

use maud::{Markup, html};

use super::Page;
use super::parts::{facts, mark, nothing};
use crate::admin::console::text;
use crate::admin::console::view::Storage;
use crate::admin::{ApiError, Operations};
use crate::clock::Timestamp;

/// Erasures that are listed.
const ERASURES_MAX: usize = 50;

pub(super) fn show(does: &dyn Operations) -> Result<Page, ApiError> {
    let storage = does.storage()?;
    let bytes = storage.lanes.iter().map(|lane| lane.bytes).sum();
    let room = match &*storage.room {
        "enough" => "there is room",
        "low" => "there is little room",
        _ => "there is hardly any room",
    };
    let disk = [
        ("Data folder", storage.folder.clone()),
        ("Journals take", text::bytes(bytes)),
        ("Free", format!("{}: {room}", text::bytes(storage.free_bytes))),
        ("Last start", storage.recovery.clone()),
    ];
    let disk: Vec<(String, String)> =
        disk.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
    let main = html! {
        section.card { div.head { h2 { "Disk" } } (facts(&disk)) }
        (lanes(&storage))
        div.two { (published(&storage)) (going(&storage)) }
        (erasures(&storage))
    };
    Ok(Page::new("Storage", main).fresh())
}

fn lanes(storage: &Storage) -> Markup {
    html! {
        section.card {
            div.head { h2 { "Journals" } }
            div.wide tabindex="0" role="region" aria-label="Journals" {
                table {
                    caption.away { "Segments of each lane" }
                    thead { tr {
                        th scope="col" { "Journal" } th.n scope="col" { "Lane" } th.n scope="col" { "Sealed" } th.n scope="col" { "Open" }
                        th.n scope="col" { "Unreadable" } th.n scope="col" { "On disk" }
                    } }
                    tbody { @for lane in &storage.lanes { tr {
                        th scope="row" { (lane.journal) } td.n { (lane.lane) } td.n { (text::count(lane.sealed as u64)) }
                        td.n { (lane.open) } td.n.bad[lane.unreadable > 0] { (lane.unreadable) } td.n { (text::bytes(lane.bytes)) }
                    } } }
                }
            }
            @if storage.is_cut { p.hint { "Of lanes with very many segments not every file was looked at: they take more." } }
        }
    }
}

fn published(storage: &Storage) -> Markup {
    html! {
        section.card {
            div.head { h2 { "Published as Parquet" } }
            @if storage.published.is_empty() { (nothing("Nothing is published.")) } @else {
                div.wide tabindex="0" role="region" aria-label="Published" {
                    table {
                        caption { "Since the start; last " (since(storage.published_last)) }
                        thead { tr { th scope="col" { "Table" } th.n scope="col" { "Segments" } th.n scope="col" { "Rows" } th.n scope="col" { "Waiting" } } }
                        tbody { @for one in &storage.published { tr {
                            th scope="row" { (one.table) } td.n { (text::count(one.segments)) }
                            td.n { (text::count(one.rows)) } td.n { (text::count(one.waiting)) }
                        } } }
                    }
                }
                @if storage.failures > 0 {
                    p.worries { "Publishing failed " (text::count(storage.failures)) " times since the start; it is tried again, and the log says why." }
                }
            }
        }
    }
}

fn going(storage: &Storage) -> Markup {
    html! {
        section.card {
            div.head { h2 { "Kept for" } }
            (facts(&storage.retention))
            p.hint { "All that was due was forgotten last " (since(storage.forgotten_last)) "." }
        }
    }
}

fn erasures(storage: &Storage) -> Markup {
    html! {
        section.card {
            div.head { h2 { "Erasures" } span.soft { (text::count(storage.erasures_done as u64)) " done" } }
            @if storage.erasures.is_empty() { (nothing("None is under way.")) } @else {
                div.wide tabindex="0" role="region" aria-label="Erasures" {
                    table {
                        caption { "Hidden already, and not out of every segment yet" }
                        thead { tr { th scope="col" { "Asked for, UTC" } th.n scope="col" { "Records" } th scope="col" { "State" } } }
                        tbody { @for (time, records) in storage.erasures.iter().take(ERASURES_MAX) { tr {
                            td.time { (text::brief(time)) } td.n { (text::count(*records as u64)) } td { (mark("pending")) }
                        } } }
                    }
                }
                @if storage.erasures.len() > ERASURES_MAX {
                    p.hint { "The first " (ERASURES_MAX) " of " (storage.erasures.len()) " are shown." }
                }
            }
        }
    }
}

fn since(time: Option<Timestamp>) -> String {
    time.map_or_else(|| "not since the start".to_owned(), |time| format!("at {} UTC", text::moment(time)))
}
