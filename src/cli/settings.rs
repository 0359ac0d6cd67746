//! Where settings come from on the command line: what every command that reads them takes.

use std::path::PathBuf;

use clap::Args;

use crate::config::{self, Flag, Loaded, Problems};

#[derive(Debug, Args)]
pub(super) struct Given {
    #[command(flatten)]
    files: Files,
    /// Address to listen at for visitors and networks; several with commas [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR")]
    listen: Option<String>,
    /// Address to listen at for operators [default: 127.0.0.1:9101]
    #[arg(long, value_name = "ADDR")]
    admin: Option<String>,
}

/// What a command needs that looks at files only.
#[derive(Debug, Args)]
pub(super) struct Files {
    /// Settings file
    #[arg(long, value_name = "FILE", env = "CLICKLOG_CONFIG")]
    config: Option<PathBuf>,
    /// Catalog: a file, or a folder of *.toml files [default: a built-in one]
    #[arg(long, value_name = "FILE|DIR")]
    catalog: Option<String>,
    /// Data folder [default: clicklog-data]
    #[arg(long, value_name = "DIR")]
    data: Option<String>,
}

impl Given {
    /// Flags before the environment, that before the file, that before the defaults.
    pub(super) fn load(&self) -> Result<Loaded, Problems> {
        self.files.load_with(&[
            ("--listen", ("edge", "listen"), &self.listen),
            ("--admin", ("admin", "listen"), &self.admin),
        ])
    }
}

/// A flag's name, the setting that it is, and what was given.
type Other<'a> = (&'static str, (&'static str, &'static str), &'a Option<String>);

impl Files {
    /// As `Given::load`.
    pub(super) fn load(&self) -> Result<Loaded, Problems> {
        self.load_with(&[])
    }

    fn load_with(&self, others: &[Other<'_>]) -> Result<Loaded, Problems> {
        let own =
            [("--catalog", ("catalog", "path"), &self.catalog), ("--data", ("store", "data"), &self.data)];
        let flags: Vec<Flag> = own
            .iter()
            .chain(others)
            .filter_map(|(name, key, value)| Some(Flag { name, key: *key, value: value.as_ref()?.clone() }))
            .collect();
        config::load(self.config.as_deref(), config::variables(), &flags)
    }
}
