//! Are the figures in the format that they claim, and are they true?

use super::client::{self, Client, FLUSH, Mode, READ, Request, TRIM};
use super::node::{EMAIL, Node, PASSWORD, Reply, login};
use std::collections::{HashMap, HashSet};

/// Figures by name and labels, as they stand in the text.
pub struct Figures(HashMap<String, f64>);

impl Figures {
    /// Reads them, and checks the rules of OpenMetrics that a reader relies on.
    pub fn of(reply: &Reply) -> Self {
        assert_eq!(reply.status, 200, "{reply:?}");
        assert_eq!(reply.header("content-type"), Some("application/openmetrics-text; version=1.0.0; charset=utf-8"));
        let text = std::str::from_utf8(&reply.body).expect("text");
        assert!(text.ends_with("\n# EOF\n"), "{text}");
        let mut families = HashSet::new();
        let mut samples = HashMap::new();
        let (mut family, mut kind) = (String::new(), String::new());
        for line in text.lines().filter(|line| *line != "# EOF") {
            if let Some(comment) = line.strip_prefix("# ") {
                let words: Vec<&str> = comment.splitn(3, ' ').collect();
                match words[0] {
                    "HELP" => {
                        family = words[1].to_owned();
                        kind = String::new();
                        assert!(families.insert(family.clone()), "{family} comes twice");
                        assert!(words[2].len() > 3, "{line}");
                    }
                    "TYPE" => kind = words[2].to_owned(),
                    "UNIT" => assert!(family.ends_with(words[2]), "{line}"),
                    other => panic!("{other} is no metadata: {line}"),
                }
                assert_eq!(words[1], family, "{line}");
                continue;
            }
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let name = series.split('{').next().expect("a name");
            assert!(name.chars().all(|letter| letter.is_ascii_lowercase() || letter == '_'), "{name}");
            let suffix = name.strip_prefix(family.as_str()).unwrap_or_else(|| panic!("{name} stands under {family}"));
            let allowed: &[&str] = match kind.as_str() {
                "counter" => &["_total"],
                "gauge" => &[""],
                "info" => &["_info"],
                "histogram" => &["_bucket", "_sum", "_count"],
                other => panic!("{other:?} is no type: {line}"),
            };
            assert!(allowed.contains(&suffix), "{line}");
            let value: f64 = value.parse().unwrap_or_else(|error| panic!("{error}: {line}"));
            assert!(value >= 0.0, "{line}");
            assert!(samples.insert(series.to_owned(), value).is_none(), "{series} comes twice");
        }
        let figures = Self(samples);
        figures.check_histograms(text);
        assert!(families.contains("floe_nbd_operation_duration_seconds"), "{families:?}");
        figures
    }

    /// Buckets only grow, and the last one holds all.
    fn check_histograms(&self, text: &str) {
        let mut last = (String::new(), 0.0);
        let mut whole = 0;
        for line in text.lines().filter(|line| line.contains("_bucket{")) {
            let (series, value) = line.rsplit_once(' ').expect("a value");
            let value: f64 = value.parse().expect("a number");
            let at = series.find("le=\"").expect("a bound");
            let (labels, bound) = (&series[..at], &series[at + 4..]);
            let rest = &bound[bound.find('"').expect("its end") + 1..];
            let labels = format!("{labels}{rest}");
            assert!(last.0 != labels || last.1 <= value, "{line}");
            if bound.starts_with("+Inf") {
                let count = labels.replace("_bucket{", "_count{").replace(",}", "}").replace("{,", "{");
                assert_eq!(self.0.get(&count), Some(&value), "{line}: {count}");
                whole += 1;
            }
            last = (labels, value);
        }
        let counts = self.0.keys().filter(|series| series.contains("_duration_seconds_count{")).count();
        assert!(whole == counts && counts > 0, "{whole} of {counts} histograms have a last bucket");
    }

    /// One of them; 0 if nothing has happened yet.
    pub fn at(&self, series: &str) -> f64 {
        self.0.get(series).copied().unwrap_or_default()
    }

    fn series(&self) -> usize {
        self.0.len()
    }
}

#[test]
fn they_say_what_nbd_clients_did() {
    let node = Node::start(&[]);
    let body = br#"{"name": "db", "size": 16777216, "media": "disk"}"#;
    assert_eq!(node.client().call("POST", "/api/2.0/drives/", &[&login(EMAIL, PASSWORD)], body).status, 201);
    let before = node.figures();
    let socket = node.data().join("nbd.sock");
    let mut one = Client::unix(&socket).begin(Mode::Extended, "db");
    let mut two = Client::unix(&socket).begin(Mode::Simple, "db");
    for index in 0..30 {
        one.write(index * 65_536, &[7; 5000]);
    }
    for index in 0..20 {
        two.read(index * 4096, 4096);
    }
    assert_eq!(one.read(0, 1 << 20).len(), 1 << 20);
    assert_eq!(one.errno(Request::new(FLUSH, 0, 0)), 0);
    assert_eq!(one.errno(Request::new(TRIM, 0, 8192)), 0);
    assert_eq!(two.errno(Request::new(READ, 16 << 20, 1)), client::EINVAL, "behind the end");
    assert_eq!(two.errno(Request::new(99, 0, 1)), client::EINVAL, "no such command");
    let figures = node.figures();
    for (series, expected) in [
        ("floe_nbd_connections", 2.0),
        ("floe_nbd_connections_accepted_total", 2.0),
        ("floe_nbd_connections_refused_total", 0.0),
        ("floe_nbd_operations_total{kind=\"write\"}", 30.0),
        ("floe_nbd_bytes_total{kind=\"write\"}", 150_000.0),
        ("floe_nbd_errors_total{kind=\"write\"}", 0.0),
        ("floe_nbd_operations_total{kind=\"read\"}", 22.0),
        ("floe_nbd_bytes_total{kind=\"read\"}", 20.0 * 4096.0 + 1_048_576.0),
        ("floe_nbd_errors_total{kind=\"read\"}", 1.0),
        ("floe_nbd_operations_total{kind=\"flush\"}", 1.0),
        ("floe_nbd_operations_total{kind=\"trim\"}", 1.0),
        ("floe_nbd_bytes_total{kind=\"trim\"}", 8192.0),
        ("floe_nbd_errors_total{kind=\"other\"}", 1.0),
        ("floe_nbd_operation_duration_seconds_count{kind=\"write\"}", 30.0),
    ] {
        assert_eq!(figures.at(series), expected, "{series}");
    }
    assert!(figures.at("floe_nbd_operation_duration_seconds_sum{kind=\"write\"}") > 0.0);
    assert!(figures.at("floe_store_commits_total") > before.at("floe_store_commits_total"));
    one.disconnect();
    two.disconnect();
    super::node::until("they leave", || node.figures().at("floe_nbd_connections") == 0.0);
    node.serving.stop();
}

#[test]
fn they_say_what_http_clients_did_by_route() {
    let node = Node::start(&[]);
    let own = login(EMAIL, PASSWORD);
    let mut client = node.client();
    for _ in 0..3 {
        assert_eq!(client.call("GET", "/api/2.0/drives/", &[&own], b"").status, 200);
    }
    let first = node.figures().series();
    for _ in 0..20 {
        let path = format!("/api/2.0/drives/{}/?limit=0", uuid::Uuid::new_v4());
        assert_eq!(client.call("GET", &path, &[&own], b"").status, 404);
        assert_eq!(client.call("GET", &format!("/{}", uuid::Uuid::new_v4()), &[&own], b"").status, 404);
    }
    assert_eq!(client.call("GET", "/api/2.0/drives/", &[&login(EMAIL, "wrong")], b"").status, 401);
    assert_eq!(client.call("BREW", "/api/2.0/drives/", &[&own], b"").status, 405);
    node.client().send("no request\r\n\r\n");
    super::node::until("it is counted", || {
        node.figures().at("floe_http_requests_total{method=\"other\",route=\"unread\",status=\"400\"}") == 1.0
    });
    let figures = node.figures();
    for (series, expected) in [
        ("floe_http_requests_total{method=\"GET\",route=\"drives\",status=\"200\"}", 3.0),
        ("floe_http_requests_total{method=\"GET\",route=\"drives/*\",status=\"404\"}", 20.0),
        ("floe_http_requests_total{method=\"GET\",route=\"unknown\",status=\"404\"}", 20.0),
        ("floe_http_requests_total{method=\"GET\",route=\"drives\",status=\"401\"}", 1.0),
        ("floe_http_requests_total{method=\"other\",route=\"drives\",status=\"405\"}", 1.0),
        ("floe_http_request_duration_seconds_count{route=\"drives\"}", 5.0),
        ("floe_http_logins_total{result=\"right\"}", 1.0),
        ("floe_http_logins_total{result=\"remembered\"}", 43.0),
        ("floe_http_logins_total{result=\"wrong\"}", 1.0),
        ("floe_http_requests_in_progress", 0.0),
    ] {
        assert_eq!(figures.at(series), expected, "{series}");
    }
    assert!(figures.at("floe_http_connections") >= 1.0);
    // Whatever paths and methods there are, the figures do not become more without end.
    assert!(figures.series() < first + 100, "{} series after {first}", figures.series());
    node.serving.stop();
}

#[test]
fn they_say_what_is_in_the_store() {
    let node = Node::start(&[]);
    let own = login(EMAIL, PASSWORD);
    let figures = node.figures();
    assert_eq!(figures.at("floe_store_capacity_bytes"), f64::from(256 << 20));
    assert_eq!((figures.at("floe_store_drives"), figures.at("floe_store_snapshots")), (0.0, 0.0));
    assert_eq!(figures.at("floe_store_used_bytes{class=\"data\"}"), 0.0);
    assert_eq!(figures.at("floe_store_notes"), 1.0, "the account");
    let body = br#"{"name": "db", "size": 16777216, "media": "disk"}"#;
    let made = node.client().call("POST", "/api/2.0/drives/", &[&own], body);
    let uuid = made.json()["objects"][0]["uuid"].as_str().expect("a uuid").to_owned();
    let mut writer = Client::unix(&node.data().join("nbd.sock")).begin(Mode::Simple, "db");
    writer.write(0, &[1; 1 << 20]);
    writer.disconnect();
    let body = format!("{{\"drive\": \"{uuid}\"}}");
    assert_eq!(node.client().call("POST", "/api/2.0/snapshots/", &[&own], body.as_bytes()).status, 201);
    let after = node.figures();
    assert_eq!((after.at("floe_store_drives"), after.at("floe_store_snapshots")), (1.0, 1.0));
    assert_eq!(after.at("floe_store_used_bytes{class=\"data\"}"), f64::from(1 << 20));
    assert!(after.at("floe_store_used_bytes{class=\"metadata\"}") > 0.0);
    assert!(figures.at("floe_store_free_bytes") - after.at("floe_store_free_bytes") >= f64::from(1 << 20));
    assert_eq!((after.at("floe_store_poisoned"), after.at("floe_store_reclaim_backlog")), (0.0, 0.0));
    assert_eq!(after.at(&format!("floe_build_info{{version=\"{}\"}}", env!("CARGO_PKG_VERSION"))), 1.0);
    node.serving.stop();
}

#[test]
fn they_are_where_they_are_wished_to_be() {
    let off = Node::start(&["--metrics", "off"]);
    off.client().call("GET", "/metrics", &[], b"").error(401);
    let found = off.get("/metrics");
    found.error(404);
    assert_eq!(off.client().call("GET", "/readyz", &[], b"").status, 200);
    off.serving.stop();

    let apart = Node::start(&["--metrics", "127.0.0.1:0"]);
    apart.client().call("GET", "/metrics", &[], b"").error(401);
    let mut watcher = super::node::Http::to(&apart.probing());
    Figures::of(&watcher.call("GET", "/metrics", &[], b""));
    for (path, words) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let reply = watcher.call("GET", path, &[], b"");
        assert_eq!((reply.status, reply.json()["status"].as_str()), (200, Some(words)));
    }
    // The API is not there, whoever asks.
    watcher.call("GET", "/api/2.0/drives/", &[&login(EMAIL, PASSWORD)], b"").error(404);
    watcher.call("POST", "/metrics", &[], b"").error(405);
    let nothing = watcher.call("HEAD", "/healthz", &[], b"");
    assert_eq!((nothing.status, nothing.body.len()), (200, 0));
    apart.serving.stop();
}
