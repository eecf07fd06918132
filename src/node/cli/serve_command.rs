//! What does `floe serve` do?

use super::exit::Exit;
use super::log;
use super::output::{self, Reply};
use super::serve_layers::Setting;
use super::serve_plan::{self, Admin, Plan};
use super::serve_settings::Settings;
use super::serve_supervisor::Supervisor;
use super::session::Session;
use crate::Store;
use crate::node::accounts::{Account, Accounts, new_password};
use crate::node::api::{Api, BASE};
use crate::node::failure::Failure;
use crate::node::http::HttpServer;
use crate::node::jobs::Jobs;
use crate::node::metrics::Metrics;
use crate::node::nbd::Server;
use crate::node::remote::keeping::{Keeper, Schedules};
use crate::node::remote::remotes::Remotes;
use crate::node::remote::transfer::Workers;
use crate::node::service::stores::{self, STORE_FILE};
use clap::Args;
use serde_json::json;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Arc, OnceLock, Weak};
use std::thread;

#[derive(Debug, Args)]
pub(super) struct ServeArgs {
    /// Take settings from this file too (TOML); arguments win over the environment, which wins over the file
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Read all settings, say what would be used and who said so, and end: with 0, or with 2 if something is wrong
    #[arg(long)]
    check_config: bool,
    #[command(flatten)]
    settings: Settings,
}

pub(super) fn run(session: &Session, args: &ServeArgs, said: &[Setting]) -> Result<Reply, Failure> {
    if args.check_config {
        return serve_plan::check(&args.settings, args.config.as_deref(), said);
    }
    let plan = Plan::of(&args.settings, args.config.as_deref())?;
    let Plan { data, capacity, admin, http, nbd, api, locations, policies, remote_interval } = plan;
    log::start(args.settings.log);
    let stopping = Arc::new(AtomicBool::new(false));
    let signals = signals(&stopping)?;
    let supervisor = Supervisor::from_environment();
    let store = stores::open_for_node(&data, capacity)?;
    stores::close_after(store, |store| {
        let accounts = Arc::new(Accounts::of(store)?);
        let first = first_account(&accounts, admin)?;
        // What was interrupted is ended, or undone, before anybody is served.
        let jobs = Jobs::of(store)?;
        let remotes = Arc::new(Remotes::of(store, locations, remote_interval)?);
        let filling = Arc::clone(&remotes);
        let behinds = move |drive| filling.filling(drive).map(|one| one.behind(Arc::clone(&filling)));
        let server = Arc::new(Server::start(store, nbd.filled_by(Arc::new(behinds)))?);
        let connections = Arc::downgrade(&server);
        let connections = move |drive| connections.upgrade().map_or(0, |server| server.connections_of(drive));
        let woken = Arc::new(OnceLock::<Weak<Workers>>::new());
        let waking = Arc::clone(&woken);
        let wake = move || waking.get().and_then(Weak::upgrade).iter().for_each(|workers| workers.wake());
        let api = Api::new(store, jobs, accounts, Arc::clone(&remotes), Arc::new(wake), Arc::new(connections), api)?;
        let api = Arc::new(api);
        api.watch_filling();
        let workers = Arc::new(Workers::start(Arc::clone(&remotes))?);
        woken.get_or_init(|| Arc::downgrade(&workers));
        let schedules = Schedules::start(&remotes, policies, Arc::clone(&api) as Arc<dyn Keeper>)?;
        let metrics = Arc::new(Metrics::new(store, server.figures()));
        let secure = http.tls.is_some();
        let http = HttpServer::start(api, store, metrics, &http)?;
        let ways_in = WaysIn::of(&server, &http, secure);
        say_where(session, &data, store, &ways_in, first.as_ref())?;
        supervisor.ready(&ways_in.in_a_line());
        watch(&signals, &supervisor, &http);
        stopping.store(true, Ordering::SeqCst);
        supervisor.stopping();
        http.drain();
        // The last one who holds it: NBD clients get their answers now, while probes can still be asked.
        drop(server);
        // What is on its way to a location goes on at the next start.
        drop((schedules, workers));
        http.stop();
        Ok(Reply::Printed(Exit::Done))
    })
}

/// Signals that ask the node to end.
fn signals(stopping: &Arc<AtomicBool>) -> Result<Receiver<i32>, Failure> {
    let waiting = |error| Failure::io("waiting for signals", error);
    let code = Exit::Interrupted as i32;
    for signal in [SIGINT, SIGTERM] {
        // Whoever asks twice does not want to wait for clients.
        signal_hook::flag::register_conditional_shutdown(signal, code, Arc::clone(stopping)).map_err(waiting)?;
    }
    let mut signals = Signals::new([SIGINT, SIGTERM]).map_err(waiting)?;
    let (came, comes) = mpsc::channel();
    let thread = thread::Builder::new().name("signals".into());
    // It ends with the process.
    thread.spawn(move || signals.forever().try_for_each(|signal| came.send(signal))).map_err(waiting)?;
    Ok(comes)
}

/// Looks after the node until it is asked to end.
fn watch(signals: &Receiver<i32>, supervisor: &Supervisor, http: &HttpServer) {
    let mut was_well = true;
    supervisor.well();
    loop {
        match signals.recv_timeout(supervisor.tick()) {
            Ok(signal) => return tracing::info!(signal, "stopping: waiting for requests that came"),
            Err(RecvTimeoutError::Disconnected) => return tracing::error!("stopping: signals cannot be heard any more"),
            Err(RecvTimeoutError::Timeout) => {}
        }
        let well = http.is_well(supervisor.tick());
        if well {
            supervisor.well();
        } else if was_well {
            let words = "not well: a write or sync of the store failed, or nothing is answered; restart the node";
            tracing::error!("{words}");
            supervisor.unwell(words);
        }
        was_well = well;
    }
}

/// An account that was made just now, and where its password is to be found.
struct First {
    account: Account,
    /// A password that was made up.
    made_up: Option<String>,
    /// Where somebody put one.
    chosen_in: Option<String>,
}

/// A node without accounts gets one, by somebody's wish or of its own.
fn first_account(accounts: &Accounts, admin: Admin) -> Result<Option<First>, Failure> {
    if !accounts.all().is_empty() {
        return Ok(None);
    }
    let (account, made_up, chosen_in) = match admin.password {
        Some((password, place)) => (accounts.add(&admin.email, &password)?, None, Some(place)),
        None => {
            let password = new_password();
            (accounts.add(&admin.email, &password)?, Some(password), None)
        }
    };
    Ok(Some(First { account, made_up, chosen_in }))
}

/// Where clients come in.
struct WaysIn {
    nbd: Vec<String>,
    http: Vec<String>,
    probing: Option<String>,
}

impl WaysIn {
    fn of(server: &Server, http: &HttpServer, secure: bool) -> Self {
        let scheme = if secure { "https" } else { "http" };
        Self {
            nbd: server.addresses().iter().map(ToString::to_string).collect(),
            http: http.addresses().iter().map(|address| format!("{scheme}://{address}{BASE}/")).collect(),
            probing: http.probing().map(|address| format!("{scheme}://{address}/metrics")),
        }
    }

    fn in_a_line(&self) -> String {
        format!("serving: HTTP at {}, NBD at {}", self.http.join(", "), self.nbd.join(", "))
    }
}

fn say_where(session: &Session, data: &Path, store: &Store, ways: &WaysIn, first: Option<&First>) -> Result<(), Failure> {
    let path = data.join(STORE_FILE);
    let text = if session.style.json {
        let mut answer = json!({
            "store": path.to_string_lossy(),
            "uuid": store.info().uuid.to_string(),
            "http": ways.http,
            "metrics": ways.probing,
            "nbd": ways.nbd,
        });
        if let Some(First { account, made_up, .. }) = first {
            answer["account"] = json!({"email": account.email, "password": made_up});
        }
        format!("{answer}\n")
    } else if session.style.quiet {
        String::new()
    } else {
        let mut text = format!("store {}\n", path.display());
        ways.nbd.iter().for_each(|address| text += &format!("NBD at {address}\n"));
        ways.http.iter().for_each(|address| text += &format!("HTTP at {address}\n"));
        ways.probing.iter().for_each(|address| text += &format!("metrics at {address}\n"));
        if let Some(First { account, made_up, chosen_in }) = first {
            let made_up = made_up.as_ref().map(|password| format!("{password} (shown this once)"));
            let chosen = chosen_in.as_ref().map(|place| format!("that of {place}"));
            text += &format!("account {}, password {}\n", account.email, made_up.or(chosen).unwrap_or_default());
        }
        text
    };
    output::write_stdout(text.as_bytes())
}
