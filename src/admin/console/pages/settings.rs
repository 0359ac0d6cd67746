//! Every setting in force.

use maud::html;

use super::Page;
use crate::admin::console::layout::ticked;
use crate::admin::console::view::Setting;
use crate::admin::{ApiError, Operations};

pub(super) fn show(does: &dyn Operations) -> Result<Page, ApiError> {
    let all = does.settings();
    let sections = all.chunk_by(|a, b| a.section == b.section);
    let main = html! {
        p.hint {
            "As the daemon was started with them; secrets are shown by where they are kept. What differs from the default stands out. "
            code { "clicklog config show" } " says where each comes from."
        }
        @for section in sections {
            @let name = section.first().map_or("", |setting| setting.section);
            section.card {
                div.head { h2 { (name) } }
                div.wide tabindex="0" role="region" aria-label={ "Settings of " (name) } {
                    table.settings {
                        caption.away { "Settings of " (name) }
                        thead { tr { th scope="col" { "Key" } th scope="col" { "Value" } th scope="col" { "Meaning" } } }
                        tbody { @for Setting { key, value, doc, is_default, .. } in section { tr.own[!is_default] {
                            th scope="row" { code { (key) } } td.target { code { (value) } } td.doc { (ticked(doc)) }
                        } } }
                    }
                }
            }
        }
    };
    Ok(Page::new("Settings in force", main))
}
