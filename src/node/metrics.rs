//! What do graphs and alarms of a node live on?
//!
//! Text in the format of OpenMetrics. Labels have few values: kinds, methods, routes (never paths) and statuses. docs/operating.md says what
//! each figure means, and which one somebody should be woken for.

use crate::Store;
use crate::node::nbd::figures::{Counted, Figures, KINDS, STEPS};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeLabel, EncodeLabelSet, EncodeMetric, LabelSetEncoder, MetricEncoder, NoLabelSet, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// The route of requests that could not be read.
const UNREAD: &str = "unread";

/// Methods that are counted under their names.
const METHODS: [&str; 6] = ["GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS"];

type Label = [(&'static str, &'static str); 1];

/// What the HTTP server counts.
pub struct HttpMetrics {
    requests: Family<Asked, Counter>,
    durations: Family<Label, Histogram, fn() -> Histogram>,
    logins: Family<Label, Counter>,
    /// Requests that are being answered.
    pub in_progress: Gauge,
    /// Connections.
    pub connections: Gauge,
}

/// What was asked, and what came of it.
#[derive(Clone, Debug, Hash, PartialEq, Eq)]
struct Asked {
    method: &'static str,
    route: &'static str,
    status: u16,
}

impl EncodeLabelSet for Asked {
    fn encode(&self, encoder: &mut LabelSetEncoder<'_>) -> fmt::Result {
        [("method", self.method), ("route", self.route)].encode(encoder)?;
        EncodeLabel::encode(&("status", u32::from(self.status)), encoder.encode_label())
    }
}

impl HttpMetrics {
    fn new(registry: &mut Registry) -> Self {
        let durations: fn() -> Histogram =
            || Histogram::new([0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0]);
        let metrics = Self {
            requests: Family::default(),
            durations: Family::new_with_constructor(durations),
            logins: Family::default(),
            in_progress: Gauge::default(),
            connections: Gauge::default(),
        };
        registry.register("requests", "Requests that were answered", metrics.requests.clone());
        let help = "From a request's head to the first byte of its answer";
        registry.register_with_unit("request_duration", help, Unit::Seconds, metrics.durations.clone());
        registry.register("logins", "Passwords that were shown, by what came of it", metrics.logins.clone());
        registry.register("requests_in_progress", "Requests that are being answered", metrics.in_progress.clone());
        registry.register("connections", "Connections", metrics.connections.clone());
        metrics
    }

    /// A request was answered. `route` is one of a few, whatever was asked.
    pub fn answered(&self, method: &str, route: &'static str, status: u16, time: Duration) {
        let method = METHODS.iter().find(|known| **known == method).copied().unwrap_or("other");
        self.requests.get_or_create(&Asked { method, route, status }).inc();
        self.durations.get_or_create(&[("route", route)]).observe(time.as_secs_f64());
    }

    /// A request was refused that could not be read.
    pub fn refused(&self, status: u16) {
        self.requests.get_or_create(&Asked { method: "other", route: UNREAD, status }).inc();
    }

    /// Somebody showed a password.
    pub fn login(&self, result: &'static str) {
        self.logins.get_or_create(&[("result", result)]).inc();
    }
}

/// All figures of a node.
pub struct Metrics {
    registry: Registry,
    /// Those of the HTTP server.
    pub http: Arc<HttpMetrics>,
}

impl Metrics {
    /// The figures of a store, of the NBD server on it, and of an HTTP server that is to come.
    #[must_use]
    pub fn new(store: &Store, nbd: Arc<Figures>) -> Self {
        let mut registry = Registry::with_prefix("floe");
        registry.register("build", "What runs", Info::new([("version", env!("CARGO_PKG_VERSION"))]));
        let start = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let since = Gauge::<f64, std::sync::atomic::AtomicU64>::default();
        since.set(start);
        registry.register_with_unit("start_time", "When the node began, since 1970", Unit::Seconds, since);
        let http = Arc::new(HttpMetrics::new(registry.sub_registry_with_prefix("http")));
        registry.register_collector(Box::new(OfNbd(nbd)));
        registry.register_collector(Box::new(OfStore(store.clone())));
        Self { registry, http }
    }

    /// All of them, as they are now.
    #[must_use]
    pub fn text(&self) -> String {
        let mut text = String::new();
        // A String takes everything.
        text::encode(&mut text, &self.registry).unwrap_or_default();
        text
    }
}

struct OfStore(Store);

impl fmt::Debug for OfStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OfStore")
    }
}

fn gauge(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, unit: Option<&Unit>, value: u64) -> fmt::Result {
    encoder.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
}

fn counter(encoder: &mut DescriptorEncoder<'_>, name: &str, help: &str, value: u64) -> fmt::Result {
    ConstCounter::new(value).encode(encoder.encode_descriptor(name, help, None, MetricType::Counter)?)
}

impl Collector for OfStore {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let (usage, info) = (self.0.usage(), self.0.info());
        let encoder = &mut encoder;
        for (name, help, value) in [
            ("store_capacity", "Size of the store", usage.capacity_bytes),
            ("store_free", "What can still be written", usage.free_bytes),
        ] {
            gauge(encoder, name, help, Some(&Unit::Bytes), value)?;
        }
        let help = "What is in use, by what for";
        let mut used = encoder.encode_descriptor("store_used", help, Some(&Unit::Bytes), MetricType::Gauge)?;
        for (class, value) in [("data", usage.data_bytes), ("metadata", usage.metadata_bytes)] {
            used.encode_family(&[("class", class)])?.encode_gauge(&value)?;
        }
        for (name, help, value) in [
            ("store_drives", "Drives", info.drives),
            ("store_snapshots", "Snapshots", info.snapshots),
            ("store_bookmarks", "Bookmarks", info.bookmarks),
            ("store_notes", "Notes", info.notes),
            ("store_reclaim_backlog", "Deleted drives and snapshots whose space is not given back yet", usage.reclaiming),
            ("store_poisoned", "1 if a write or sync failed, and the store must be opened again", info.poisoned.into()),
            ("store_unsettled", "1 if some checksums are no evidence until a scrub was finished", info.unsettled.into()),
        ] {
            gauge(encoder, name, help, None, value)?;
        }
        counter(encoder, "store_commits", "Number of the last commit", info.generation)
    }
}

/// One of the counts.
type Count = fn(&Counted) -> u64;

#[derive(Debug)]
struct OfNbd(Arc<Figures>);

impl Collector for OfNbd {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let encoder = &mut encoder;
        let [present, came, turned_away] = self.0.connections();
        gauge(encoder, "nbd_connections", "Connections", None, present)?;
        counter(encoder, "nbd_connections_accepted", "Connections that there were", came)?;
        counter(encoder, "nbd_connections_refused", "Connections that were turned away: there were too many", turned_away)?;
        let counted: Vec<(Label, Counted)> =
            KINDS.iter().enumerate().map(|(kind, name)| ([("kind", *name)], self.0.counted(kind))).collect();
        let counts: [(&str, &str, Count); 3] = [
            ("nbd_operations", "Requests that were served", Counted::operations),
            ("nbd_errors", "Requests that failed", |counted| counted.errors),
            ("nbd_bytes", "Bytes of images that requests were about", |counted| counted.bytes),
        ];
        for (name, help, count) in counts {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for (label, counted) in &counted {
                ConstCounter::new(count(counted)).encode(family.encode_family(label)?)?;
            }
        }
        let help = "How long the store took for a request";
        let mut family =
            encoder.encode_descriptor("nbd_operation_duration", help, Some(&Unit::Seconds), MetricType::Histogram)?;
        for (label, counted) in &counted {
            histogram(family.encode_family(label)?, counted)?;
        }
        Ok(())
    }
}

fn histogram(mut encoder: MetricEncoder<'_>, counted: &Counted) -> fmt::Result {
    let bounds = STEPS.iter().map(|step| *step as f64 / 1e9).chain([f64::INFINITY]);
    let buckets: Vec<(f64, u64)> = bounds.zip(counted.steps).collect();
    encoder.encode_histogram::<NoLabelSet>(counted.nanoseconds as f64 / 1e9, counted.operations(), &buckets, None)
}
