//! What does a configuration file say of locations and schedules?
//!
//! `[location.GVA]` is a location, `[backup.nightly]` a schedule; all other settings are somebody else's.

use super::location::{Location, Locations};
use super::schedule::Policy;
use crate::node::config;
use crate::node::failure::Failure;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Sections of sections, which only this reads.
pub const SECTIONS: [&str; 2] = ["location", "backup"];

/// What a file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Settings {
    /// Locations by their codes.
    #[serde(default)]
    location: BTreeMap<String, Location>,
    /// Schedules by their names.
    #[serde(default)]
    backup: BTreeMap<String, Policy>,
}

impl Settings {
    /// What a file says; without one, nothing.
    ///
    /// # Errors
    /// `NotFound`, `Io`, `InvalidArgument` with the line of what cannot be meant.
    pub fn read(path: Option<&Path>) -> Result<Self, Failure> {
        let Some(path) = path else { return Ok(Self::default()) };
        let text = fs::read_to_string(path).map_err(|error| Failure::io(format!("read {}", path.display()), error))?;
        let settings: Self = toml::from_str(&text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            let line = text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            config::wrong(path, line, error.message())
        })?;
        for (name, policy) in &settings.backup {
            policy.check().map_err(|words| config::wrong(path, 1, format!("backup.{name}: {words}")))?;
        }
        Ok(settings)
    }

    /// The locations of a node whose data is there.
    ///
    /// # Errors
    /// `InvalidArgument` for a code that is none.
    pub fn locations(&self, data: &Path) -> Result<Locations, Failure> {
        Locations::new(self.location.clone(), data)
    }

    /// The schedules by their names.
    #[must_use]
    pub fn policies(&self) -> &BTreeMap<String, Policy> {
        &self.backup
    }
}

#[cfg(test)]
mod tests {
    use super::Settings;
    use std::fs;
    use std::path::Path;

    fn read(text: &str) -> Result<Settings, String> {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("floe.toml");
        fs::write(&path, text).expect("a file");
        Settings::read(Some(&path)).map_err(|failure| failure.to_string())
    }

    #[test]
    fn locations_and_schedules_are_found_among_other_settings() {
        let text = "data = '/d'\n[http]\nlisten = 'x'\n[location.PAR]\nurl = 's3://b/p'\noptions = { aws_region = 'r' }\n\
                    [backup.nightly]\nevery = '24h'\nlocation = 'PAR'\nkeep_daily = 7\n";
        let settings = read(text).expect("settings");
        let locations = settings.locations(Path::new("/d")).expect("locations");
        assert_eq!(locations.codes().collect::<Vec<_>>(), ["PAR"]);
        assert_eq!(locations.find("PAR").expect("a location").options["aws_region"], "r");
        assert_eq!(settings.policies()["nightly"].every.as_secs(), 24 * 3600);
    }

    #[test]
    fn without_a_word_there_are_the_usual_ones() {
        let locations = Settings::default().locations(Path::new("/d")).expect("locations");
        assert_eq!(locations.codes().collect::<Vec<_>>(), ["CWL", "DUB", "FRA", "GVA", "LON", "ZRH"]);
        assert_eq!(locations.default_code(), Some("GVA"));
        assert_eq!(locations.find("ZRH").expect("a location").url, "file:///d/locations/ZRH/");
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_its_line() {
        for (text, words) in [
            ("[location.PAR]\nurl = 's3://b'\nbucket = 'b'\n", ":3: unknown field `bucket`"),
            ("[location.PAR]\noptions = {}\n", "missing field `url`"),
            ("[backup.a]\nevery = '0s'\n", "backup.a"),
            ("[backup.a]\nevery = '1h'\n", "keeps nothing"),
        ] {
            let message = read(text).expect_err(text);
            assert!(message.contains(words), "{message}");
        }
        let settings = read("[location.par]\nurl = 's3://b'\n").expect("settings");
        assert!(settings.locations(Path::new("/d")).is_err(), "small letters are no code");
    }
}
