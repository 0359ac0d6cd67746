//! What an authority is asked for, and where that is kept.
//!
//! In: settings. Out: whom to ask for which names, or what is missing for it; the file of a name.
//! Not here: asking (`serve::acme`), showing (`certificates`).

use std::path::{Path, PathBuf};

use http::Uri;

use super::problem::{Problem, Problems};
use super::route::{Egress, certificates};
use super::settings::Settings;

/// The folder of what authorities gave, in the data folder.
pub const FOLDER: &str = "acme";

/// Whom to ask, for what.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Where it says what it can be asked.
    pub directory: String,
    /// Whom it may write to, as URLs.
    pub contact: Vec<String>,
    /// Names that a certificate is wanted for, each its own.
    pub domains: Vec<String>,
    /// Certificates of authorities that are believed when it is called, besides the machine's; DER.
    pub roots: Vec<Vec<u8>>,
    /// The proxy that it is called through.
    pub proxy: Option<Uri>,
    /// Where accounts and certificates are kept.
    pub folder: PathBuf,
}

impl Settings {
    /// Whom to ask for certificates; of no name if nobody is to be asked.
    ///
    /// # Errors
    /// A file cannot be read.
    pub fn authority(&self) -> Result<Authority, Problems> {
        let given = &self.acme;
        let Egress { mut roots, proxy } = Egress::of(&self.dispatcher)?;
        if !given.ca.as_os_str().is_empty() {
            roots.extend(certificates(&given.ca).map_err(|what| Problem::at("acme.ca", what))?);
        }
        let mut domains = given.domains.clone();
        domains.sort();
        domains.dedup();
        Ok(Authority {
            directory: given.directory.clone(),
            contact: given.contact.iter().map(|address| format!("mailto:{address}")).collect(),
            domains,
            roots,
            proxy,
            folder: self.store.data.join(FOLDER),
        })
    }

    /// Whether what is said about an authority goes together: else section and key of what does not, and why.
    pub(super) fn check_acme(&self) -> Result<(), (&'static str, &'static str, &'static str)> {
        let listens = self.edge.listen.iter().any(|listen| listen.tls.as_ref().is_some_and(|tls| tls.acme));
        let has_names = !self.acme.domains.is_empty();
        match (listens, has_names) {
            (false, false) => Ok(()),
            _ if !cfg!(feature = "acme") => {
                Err(("acme", "domains", "this build has no ACME: it needs the feature \"acme\""))
            }
            (true, false) => Err((
                "edge",
                "listen",
                "a listener has acme = true, and [acme] domains names nothing that it could show",
            )),
            (false, true) => Err((
                "acme",
                "domains",
                "no listener would show them: give one of edge.listen tls = { acme = true }",
            )),
            _ if !self.acme.agree_to_terms => Err((
                "acme",
                "agree_to_terms",
                "must be true: the authority gives certificates to those who agree to its terms of service",
            )),
            _ => Ok(()),
        }
    }
}

impl Authority {
    /// The file of what it gave for this name: chain and key, PEM.
    pub fn file(&self, name: &str) -> PathBuf {
        issued(&self.folder, name)
    }
}

/// As `Authority::file`.
pub(super) fn issued(folder: &Path, name: &str) -> PathBuf {
    folder.join(format!("{name}.pem"))
}

#[cfg(all(test, feature = "acme"))]
mod tests {
    use super::*;
    use crate::config::value::{Listen, ListenTls};

    #[test]
    fn what_is_missing_for_certificates_is_told() {
        let mut settings = Settings::default();
        let key = |settings: &Settings| settings.check_acme().map_err(|(_, key, _)| key);
        assert_eq!(key(&settings), Ok(()));
        settings.acme.domains = vec!["trk.example".to_owned()];
        assert_eq!(key(&settings), Err("domains"));
        let tls = ListenTls { acme: true, ..ListenTls::default() };
        settings.edge.listen.push(Listen::https("127.0.0.1:443".parse().unwrap(), tls));
        assert_eq!(key(&settings), Err("agree_to_terms"));
        settings.acme.agree_to_terms = true;
        assert_eq!(key(&settings), Ok(()));
        settings.acme.domains.clear();
        assert_eq!(key(&settings), Err("listen"));
    }

    #[test]
    fn a_name_is_asked_for_once_and_its_file_is_in_the_data_folder() {
        let mut settings = Settings::default();
        settings.acme.domains = ["b.example", "a.example", "b.example"].map(str::to_owned).to_vec();
        settings.acme.contact = vec!["ops@example.com".to_owned()];
        let authority = settings.authority().unwrap();
        assert_eq!(authority.domains, ["a.example", "b.example"]);
        assert_eq!(authority.contact, ["mailto:ops@example.com"]);
        assert_eq!(issued(&authority.folder, "a.example"), Path::new("clicklog-data/acme/a.example.pem"));
    }
}
