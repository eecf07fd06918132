//! What follows from a node's settings, before anything is opened?
//!
//! Certificates are read, addresses are looked at; what cannot work is found here. `--check-config` ends here.

use super::output::{Document, Reply};
use super::serve_layers::Setting;
use super::serve_settings::{Bytes, Settings};
use super::table::{Align, aligned};
use crate::node::api::Limits;
use crate::node::certificates;
use crate::node::failure::{Failure, FailureKind};
use crate::node::http::HttpOptions;
use crate::node::nbd::{Address, ServerOptions, TlsConfig};
use crate::node::remote;
use crate::node::remote::location::Locations;
use crate::node::remote::schedule::Policy;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{env, fs};

/// The first account's password, so that it stands in no list of processes.
const ADMIN_PASSWORD: &str = "FLOE_ADMIN_PASSWORD";

/// What will be done.
pub(super) struct Plan {
    pub data: PathBuf,
    pub capacity: Option<u64>,
    pub admin: Admin,
    pub http: HttpOptions,
    pub nbd: ServerOptions,
    pub api: Limits,
    pub locations: Locations,
    pub policies: BTreeMap<String, Policy>,
    pub remote_interval: Duration,
}

/// The first account.
pub(super) struct Admin {
    pub email: String,
    /// A password that somebody chose, and where.
    pub password: Option<(String, String)>,
}

impl Plan {
    /// What the settings, and what a file says of locations and schedules, come to.
    ///
    /// # Errors
    /// `InvalidArgument` for what contradicts itself or may not be; `NotFound`, `Io` for files that cannot be read.
    pub fn of(settings: &Settings, config: Option<&Path>) -> Result<Self, Failure> {
        let data = settings.data.clone();
        let (http, nbd) = (http(settings)?, nbd(settings, &data)?);
        let admin = Admin { email: settings.admin.admin_email.clone(), password: password(settings)? };
        let capacity = settings.capacity.map(|Bytes(bytes)| bytes);
        let remote = remote::settings::Settings::read(config)?;
        let (locations, policies) = (remote.locations(&data)?, remote.policies().clone());
        for (name, policy) in &policies {
            if let Some(code) = &policy.location {
                locations.find(code).map_err(|failure| wrong(format!("backup.{name}: {failure}")))?;
            }
        }
        let remote_interval = Duration::from_secs(settings.remote.remote_interval);
        Ok(Self { data, capacity, admin, http, nbd, api: settings.api.limits(), locations, policies, remote_interval })
    }
}

/// What nobody can have meant.
pub(super) fn wrong(message: impl Into<String>) -> Failure {
    Failure::new(FailureKind::InvalidArgument, message)
}

/// A certificate and its key, or neither.
fn pair<'a>(
    section: &str,
    certificate: Option<&'a Path>,
    key: Option<&'a Path>,
) -> Result<Option<(&'a Path, &'a Path)>, Failure> {
    if certificate.is_some() != key.is_some() {
        return Err(wrong(format!("--{section}-tls-cert and --{section}-tls-key need each other")));
    }
    Ok(certificate.zip(key))
}

fn http(settings: &Settings) -> Result<HttpOptions, Failure> {
    let http = &settings.http;
    let mut options = HttpOptions {
        addresses: http.http.clone(),
        metrics: settings.metrics.metrics,
        tls: None,
        insecure: settings.insecure,
        limits: http.limits(),
    };
    if let Some((certificate, key)) = pair("http", http.http_tls_cert.as_deref(), http.http_tls_key.as_deref())? {
        let mut config = certificates::load(certificate, key, None)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        options.tls = Some(Arc::new(config));
    }
    options.check_reach()?;
    Ok(options)
}

fn nbd(settings: &Settings, data: &Path) -> Result<ServerOptions, Failure> {
    let nbd = &settings.nbd;
    let pair = pair("nbd", nbd.nbd_tls_cert.as_deref(), nbd.nbd_tls_key.as_deref())?;
    let mut options = ServerOptions::default().limits(nbd.limits()).inherit();
    options = options.listen_by_default(Address::Unix(data.join("nbd.sock")));
    for address in nbd.nbd.iter().cloned() {
        address.check_reach(pair.is_some())?;
        options = options.listen(address);
    }
    match pair {
        Some((certificate, key)) => {
            let clients = nbd.nbd_tls_clients.as_deref();
            Ok(options.tls(TlsConfig::load(certificate, key, clients, nbd.nbd_tls_required)?))
        }
        None if nbd.nbd_tls_required || nbd.nbd_tls_clients.is_some() => {
            Err(wrong("--nbd-tls-required and --nbd-tls-clients need --nbd-tls-cert and --nbd-tls-key"))
        }
        None => Ok(options),
    }
}

fn password(settings: &Settings) -> Result<Option<(String, String)>, Failure> {
    let said = env::var(ADMIN_PASSWORD).ok().filter(|password| !password.is_empty());
    let Some(path) = &settings.admin.admin_password_file else {
        return Ok(said.map(|password| (password, ADMIN_PASSWORD.to_owned())));
    };
    if said.is_some() {
        return Err(wrong(format!("{ADMIN_PASSWORD} and a file with the password: which of the two is meant?")));
    }
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| Failure::io(format!("read {name}"), error))?;
    let password = text.lines().next().unwrap_or_default();
    if password.is_empty() || text.lines().count() > 1 {
        return Err(wrong(format!("{name}: a password is one line, which is not empty")));
    }
    Ok(Some((password.to_owned(), name)))
}

/// What `--check-config` answers: the settings that would be used, and who said so.
///
/// # Errors
/// `InvalidArgument` for whatever would keep the node from coming as far as opening its store.
pub(super) fn check(settings: &Settings, config: Option<&Path>, said: &[Setting]) -> Result<Reply, Failure> {
    Plan::of(settings, config).map_err(|failure| wrong(failure.to_string()))?;
    let heads = [("SETTING", Align::Left), ("VALUE", Align::Left), ("FROM", Align::Left)];
    let rows: Vec<[String; 3]> = said
        .iter()
        .map(|setting| {
            let values = if setting.values.is_empty() { "-".to_owned() } else { setting.values.join(",") };
            [setting.name.clone(), values, setting.from.name().to_owned()]
        })
        .collect();
    let json: Map<String, Value> = said
        .iter()
        .map(|setting| (setting.name.clone(), json!({"values": setting.values, "from": setting.from.name()})))
        .collect();
    Ok(Document::new(aligned(heads, &rows), Value::Object(json)).into())
}
