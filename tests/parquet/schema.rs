//! What files of version 1 look like never changes: `tests/fixtures/parquet`.

use std::ops::ControlFlow;
use std::path::Path;

use clicklog::compactor::clicks::Clicks;
use clicklog::compactor::conversions::Conversions;
use clicklog::compactor::deliveries::Deliveries;
use clicklog::compactor::folder::Folder;
use clicklog::compactor::publish::publish;
use clicklog::compactor::table::Table;
use clicklog::store::reader::Reader;
use parquet::file::reader::FileReader;
use parquet::schema::printer::print_schema;

use crate::events::{Chance, EVENING, MadeClick, store_clicks, store_decisions, store_outcomes};
use crate::files::open;

#[test]
fn the_columns_of_version_1_are_what_they_were() {
    let (clicks, decisions, outcomes) = (folder(), folder(), folder());
    let (lane, _) = store_clicks(clicks.path(), &[MadeClick::random(&mut Chance(1), EVENING)]);
    store_decisions(decisions.path(), 1, 1);
    store_outcomes(outcomes.path(), 1);
    let changed = [
        changed::<Clicks>(clicks.path(), lane),
        changed::<Conversions>(decisions.path(), 0),
        changed::<Deliveries>(outcomes.path(), 0),
    ];
    assert!(changed.iter().all(String::is_empty), "{}", changed.concat());
}

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

/// What a table looks like, if that is not what it looked like.
fn changed<T: Table>(data: &Path, lane: u8) -> String {
    let folder = Folder::new(data);
    let publication = publish::<T>(&folder, &Reader::open(data), (lane, 0), |_| ControlFlow::Continue(()));
    let file = open(&folder.export().join(&publication.unwrap().files[0].path));
    let mut schema = Vec::new();
    print_schema(&mut schema, file.metadata().file_metadata().schema());
    let schema = String::from_utf8(schema).unwrap();
    let fixture = format!("{}/tests/fixtures/parquet/{}-v1.txt", env!("CARGO_MANIFEST_DIR"), T::NAME);
    let kept = std::fs::read_to_string(&fixture).unwrap_or_default();
    if schema == kept { String::new() } else { format!("{fixture} does not hold:\n{schema}") }
}
