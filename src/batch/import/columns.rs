//! Which column of a file holds what: by its name, or as it is told.

use std::str::FromStr;

use super::ImportError;
use super::form::Form;

/// Addresses are kept as a campaign's policy says, and nobody asks it here: they are left out unless they are named.
const ADDRESSES: &[&str] = &["ip", "ipaddress", "visitorip", "remoteip"];

/// A column that is not called what it holds: `OUR=COLUMN`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rename {
    /// Our name: of a field, or of a parameter.
    pub ours: String,
    /// What the file calls it.
    pub column: String,
}

impl FromStr for Rename {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((ours, column)) if !ours.is_empty() && !column.is_empty() => {
                Ok(Self { ours: ours.to_owned(), column: column.to_owned() })
            }
            _ => Err("it says which of ours is which column, as sub1=Placement".to_owned()),
        }
    }
}

/// What one column is taken for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Use<F> {
    Field(F),
    Param(String),
    Skipped,
}

/// What that is, for people.
pub(super) fn name_of<R: Form>(used: &Use<R::Field>) -> String {
    match used {
        Use::Field(field) => {
            let known = R::COLUMNS.iter().find(|(known, ..)| known == field);
            let other = if R::is_left_out(*field) { "left out" } else { "as in our exports" };
            known.map_or(other, |(_, name, _)| *name).to_owned()
        }
        Use::Param(name) => format!("parameter {name}"),
        Use::Skipped => "left out".to_owned(),
    }
}

/// Says of each column of `head` what it is taken for; `own` are names that only a file of bad lines has.
pub(super) fn assign<R: Form>(
    head: &[String],
    renames: &[Rename],
    skipped: &[String],
    own: &[&str],
) -> Result<Vec<Use<R::Field>>, ImportError> {
    let mut uses: Vec<Option<Use<R::Field>>> =
        head.iter().map(|name| own.contains(&&**name).then_some(Use::Skipped)).collect();
    for Rename { ours, column } in renames {
        let use_of = match R::COLUMNS.iter().find(|(_, name, _)| name == ours) {
            Some((field, ..)) => Use::Field(*field),
            None => Use::Param(ours.clone()),
        };
        let at = find(head, column).ok_or_else(|| no_column(head, column))?;
        uses[at] = Some(use_of);
    }
    for column in skipped {
        let at = find(head, column).ok_or_else(|| no_column(head, column))?;
        uses[at] = Some(Use::Skipped);
    }
    let is_own = R::is_ours(head);
    for (name, used) in head.iter().zip(&mut uses).filter(|_| is_own) {
        *used = used.take().or_else(|| R::own_column(name).map(Use::Field));
    }
    for (field, _, aliases) in R::COLUMNS {
        if uses.contains(&Some(Use::Field(*field))) {
            continue;
        }
        let free = |at: &usize| uses[*at].is_none();
        let named = |alias: &&str| (0..head.len()).filter(free).find(|at| bare(&head[*at]) == **alias);
        if let Some(at) = aliases.iter().find_map(named) {
            uses[at] = Some(Use::Field(*field));
        }
    }
    for (needed, name, _) in R::COLUMNS.iter().filter(|(_, name, _)| R::NEEDED.contains(name)) {
        if !uses.contains(&Some(Use::Field(*needed))) {
            if head.iter().all(String::is_empty) {
                return Err(ImportError::Columns("the first line names no columns".to_owned()));
            }
            let there = head.join(", ");
            let what = format!(
                "no column is the {}'s {name}; say which with --map {name}=COLUMN: there are {there}",
                R::NAME
            );
            return Err(ImportError::Columns(what));
        }
    }
    let rest = |(use_of, name): (Option<Use<R::Field>>, &String)| match use_of {
        Some(use_of) => use_of,
        None if name.is_empty() || ADDRESSES.contains(&&*bare(name)) => Use::Skipped,
        None if !R::keeps_param(name) => Use::Skipped,
        None => Use::Param(name.clone()),
    };
    Ok(uses.into_iter().zip(head).map(rest).collect())
}

fn find(head: &[String], column: &str) -> Option<usize> {
    let exact = head.iter().position(|name| name == column);
    exact.or_else(|| head.iter().position(|name| name.eq_ignore_ascii_case(column)))
}

fn no_column(head: &[String], column: &str) -> ImportError {
    ImportError::Columns(format!("there is no column {column:?}; there are {}", head.join(", ")))
}

/// A name without case, blanks and signs.
pub(in crate::batch) fn bare(name: &str) -> String {
    name.chars().filter(|character| character.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::batch::import::Row;

    fn names(head: &str, renames: &[&str], skipped: &[&str]) -> Result<String, String> {
        let head: Vec<String> = head.split(',').map(str::to_owned).collect();
        let renames: Vec<Rename> = renames.iter().map(|text| text.parse().unwrap()).collect();
        let skipped: Vec<String> = skipped.iter().map(|text| (*text).to_owned()).collect();
        let uses = assign::<Row>(&head, &renames, &skipped, &["import_line"]);
        Ok(uses.map_err(|error| error.to_string())?.iter().map(name_of::<Row>).collect::<Vec<_>>().join(","))
    }

    #[test]
    fn columns_are_known_by_their_names_or_as_told() {
        for (head, renames, skipped, expected) in [
            ("id,time", &[][..], &[][..], "id,time"),
            (
                "Click ID,Visit timestamp,Campaign ID,Campaign",
                &[],
                &[],
                "id,time,campaign,parameter Campaign",
            ),
            ("clickId,click_time,Cost,zone", &["sub1=zone"], &[], "id,time,cost,parameter sub1"),
            ("a,b,id", &["id=A", "time=b"], &["ID"], "id,time,left out"),
            ("id,time,ip,IP address", &[], &[], "id,time,left out,left out"),
            ("id,time,ip", &["ip=ip"], &[], "id,time,parameter ip"),
            ("id,time,,import_line", &[], &[], "id,time,left out,left out"),
            ("id,subid,time", &[], &[], "id,parameter subid,time"),
        ] {
            assert_eq!(names(head, renames, skipped).as_deref(), Ok(expected), "{head} {renames:?}");
        }
    }

    #[test]
    fn a_file_without_ids_or_times_is_refused_with_the_way_out() {
        let refused = |head: &str, renames: &[&str]| names(head, renames, &[]).unwrap_err();
        assert!(refused("time,x", &[]).contains("--map id=COLUMN: there are time, x"));
        assert!(refused("id,x", &[]).contains("--map time=COLUMN"));
        assert!(refused("id,time", &["sub1=zone"]).contains("no column \"zone\""));
        for text in ["", "x", "=x", "x="] {
            assert!(text.parse::<Rename>().is_err(), "{text}");
        }
    }
}
