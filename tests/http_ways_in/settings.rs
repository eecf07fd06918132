//! Whose word holds about a node: the command line's, the environment's, the file's?

use super::certificates::Certificates;
use super::node::{EMAIL, Node, login, serve};
use super::process::{floe, output_of};
use serde_json::Value;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

fn check(command: &mut Command) -> (Option<i32>, Value) {
    let output = output_of(command.env_remove("FLOE_HTTP"));
    let printed = if output.status.success() { &output.stdout } else { &output.stderr };
    let json = serde_json::from_slice(printed).unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(printed)));
    (output.status.code(), json)
}

fn checking() -> Command {
    let mut command = floe();
    command.args(["--json", "serve", "--check-config"]);
    command
}

fn file(dir: &TempDir, text: &str) -> PathBuf {
    let path = dir.path().join("floe.toml");
    fs::write(&path, text).expect("a file");
    path
}

/// The value that holds, and who said so.
fn holds(json: &Value, name: &str) -> (String, String) {
    let values = json[name]["values"].as_array().unwrap_or_else(|| panic!("{name}: {json}"));
    let values: Vec<&str> = values.iter().map(|value| value.as_str().expect("text")).collect();
    (values.join(","), json[name]["from"].as_str().expect("text").to_owned())
}

#[test]
fn a_flag_wins_over_the_environment_which_wins_over_the_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let text =
        "data = '/nowhere'\ninsecure = true\n[http]\nlisten = ['127.0.0.1:1', '127.0.0.1:2']\nhead = 3\nbody_size = '1G'\n";
    let path = file(&dir, text);
    let expect = |command: &mut Command, name: &str, value: &str, from: &str| {
        let (code, json) = check(command.arg("--config").arg(&path));
        assert_eq!(code, Some(0), "{json}");
        assert_eq!(holds(&json, name), (value.to_owned(), from.to_owned()), "{name}");
    };
    expect(&mut checking(), "data", "/nowhere", "file");
    expect(checking().args(["--data", "/elsewhere"]), "data", "/elsewhere", "flag");
    expect(&mut checking(), "http.head", "3", "file");
    expect(checking().env("FLOE_HTTP_HEAD", "4"), "http.head", "4", "environment");
    expect(checking().env("FLOE_HTTP_HEAD", "4").args(["--http-head", "5"]), "http.head", "5", "flag");
    expect(checking().args(["--http-head", "5"]), "http.head", "5", "flag");
    expect(&mut checking(), "http.listen", "127.0.0.1:1,127.0.0.1:2", "file");
    expect(checking().args(["--http", "127.0.0.1:3"]), "http.listen", "127.0.0.1:3", "flag");
    expect(&mut checking(), "http.body_size", "1G", "file");
    expect(&mut checking(), "http.body", "60", "default");
    expect(&mut checking(), "insecure", "true", "file");
    expect(checking().arg("--insecure=false"), "insecure", "false", "flag");
    expect(checking().env("FLOE_INSECURE", "0"), "insecure", "0", "environment");
    // The file itself can be named by the environment.
    let (code, json) = check(checking().env("FLOE_CONFIG", &path));
    assert_eq!((code, holds(&json, "http.head").1.as_str()), (Some(0), "file"));
}

#[test]
fn everything_can_be_set_in_every_way() {
    let dir = tempfile::tempdir().expect("a directory");
    let certificates = Certificates::new();
    let server = certificates.of("server");
    let (code, json) = check(checking().args(["--data", "/nowhere"]));
    assert_eq!(code, Some(0), "{json}");
    let value = |name: &str| {
        let pem = |file: &str| server.join(file).display().to_string();
        match name {
            "data" => "/nowhere".to_owned(),
            "capacity" => "1G".to_owned(),
            "admin.password_file" => file(&dir, "secret\n").with_file_name("floe.toml").display().to_string(),
            "http.tls_cert" | "nbd.tls_cert" => pem("server-cert.pem"),
            "http.tls_key" | "nbd.tls_key" => pem("server-key.pem"),
            "nbd.tls_clients" => pem("ca-cert.pem"),
            "nbd.listen" => "127.0.0.1:10809".to_owned(),
            _ => holds(&json, name).0,
        }
    };
    let settings: Vec<(String, String)> =
        json.as_object().expect("an object").keys().map(|name| (name.clone(), value(name))).collect();
    assert!(settings.len() > 25 && settings.iter().all(|(_, value)| !value.is_empty()), "{settings:?}");

    // tls_cert in [http] is --http-tls-cert and FLOE_HTTP_TLS_CERT; listen in [http] is --http.
    let id = |name: &str| name.trim_end_matches(".listen").replace('.', "_");
    let mut by_flag = checking();
    let mut by_variable = checking();
    for (name, value) in &settings {
        by_flag.arg(format!("--{}={value}", id(name).replace('_', "-")));
        by_variable.env(format!("FLOE_{}", id(name).to_uppercase()), value);
    }
    let text: String = settings.iter().map(|(name, value)| format!("{name} = \"{value}\"\n")).collect();
    let path = dir.path().join("all.toml");
    fs::write(&path, text).expect("a file");
    // check() takes FLOE_HTTP away, for tests that must not find it.
    by_variable.env("FLOE_NBD_TLS_REQUIRED", "true");
    for (command, from) in
        [(&mut by_flag, "flag"), (checking().arg("--config").arg(&path), "file"), (&mut by_variable, "environment")]
    {
        let (code, json) = check(command);
        assert_eq!(code, Some(0), "{json}");
        for (name, value) in &settings {
            if from == "environment" && (name == "http.listen" || name == "nbd.tls_required") {
                continue;
            }
            assert_eq!(holds(&json, name), (value.clone(), from.to_owned()), "{name}");
        }
    }
}

#[test]
fn what_cannot_be_meant_is_refused_with_its_line() {
    let dir = tempfile::tempdir().expect("a directory");
    for (text, line, words) in [
        ("data = 'x'\n\nlissten = 1\n", 3, "no setting lissten"),
        ("[http]\nlissten = 1\n", 2, "no setting http.lissten"),
        ("[htttp]\nlisten = 1\n", 2, "no setting htttp.listen"),
        ("http_head = 1\n", 1, "no setting http_head"),
        ("config = 'x'\n", 1, "no setting config"),
        ("check_config = true\n", 1, "no setting check_config"),
        ("json = true\n", 1, "no setting json"),
        ("[http]\nhead = 0\n", 2, "http.head = 0: a limit of 0"),
        ("[http]\nhead = 'soon'\n", 2, "http.head = soon"),
        ("[http]\nhead_size = '1K'\n", 2, "8 KiB"),
        ("[http]\nlisten = 'localhost'\n", 2, "http.listen = localhost"),
        ("[nbd]\nlisten = ['unix:']\n", 2, "unix: needs a path"),
        ("[nbd]\nworkers = 0\n", 2, "nbd.workers = 0"),
        ("insecure = 'perhaps'\n", 1, "insecure = perhaps"),
        ("insecure = [true, true]\n", 1, "insecure"),
        ("capacity = '1X'\n", 1, "no unit"),
        ("log = 'loud'\n", 1, "off, error, warn"),
        ("[metrics]\nlisten = 'here'\n", 2, "neither http nor off"),
        ("data = \n", 1, ""),
        ("[http]\nhead = 1\n[http]\nbody = 1\n", 3, ""),
    ] {
        let path = file(&dir, text);
        let expected = format!("{}:{line}: ", path.display());
        for command in [checking().arg("--config").arg(&path), floe().args(["--json", "serve", "--config"]).arg(&path)] {
            let (code, json) = check(command);
            let message = json["error"]["message"].as_str().expect("a message");
            assert_eq!(code, Some(2), "{text}: {message}");
            assert!(message.starts_with(&expected) && message.contains(words), "{text}: {message}");
        }
    }
}

#[test]
fn a_check_opens_nothing_and_finds_what_is_wrong() {
    let dir = tempfile::tempdir().expect("a directory");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = busy.local_addr().expect("an address").to_string();
    let data = dir.path().join("data");
    let (code, _) = check(checking().arg("--data").arg(&data).args(["--http", &port, "--nbd", &port, "--metrics", &port]));
    assert_eq!(code, Some(0), "a port that is taken is nobody's business now");
    assert!(!data.exists());
    let certificates = Certificates::new();
    let (server, alice) = (certificates.of("server"), certificates.of("alice"));
    let pem = |path: &Path| path.to_str().expect("text").to_owned();
    let (cert, key) = (pem(&server.join("server-cert.pem")), pem(&server.join("server-key.pem")));
    let other = pem(&alice.join("client-key.pem"));
    let missing = pem(&dir.path().join("missing"));
    let cases: [&[&str]; 11] = [
        &["--http-tls-cert", &cert],
        &["--http-tls-key", &key],
        &["--http-tls-cert", &cert, "--http-tls-key", &missing],
        &["--http-tls-cert", &cert, "--http-tls-key", &other],
        &["--http-tls-cert", &key, "--http-tls-key", &key],
        &["--nbd-tls-cert", &cert, "--nbd-tls-key", &other],
        &["--nbd-tls-required"],
        &["--http", "0.0.0.0:0"],
        &["--metrics", "0.0.0.0:0"],
        &["--nbd", "0.0.0.0:0"],
        &["--admin-password-file", &missing],
    ];
    for args in cases {
        let (code, json) = check(checking().arg("--data").arg(&data).args(args));
        assert_eq!(code, Some(2), "{args:?}: {json}");
    }
    assert_eq!(check(checking().arg("--config").arg(&missing)).0, Some(2));
    let (code, json) = check(&mut checking());
    assert_eq!((code, holds(&json, "data")), (Some(0), ("floe-data".into(), "default".into())));
    let good = ["--http", "0.0.0.0:0", "--metrics", "0.0.0.0:0", "--http-tls-cert", &cert, "--http-tls-key", &key];
    assert_eq!(check(checking().arg("--data").arg(&data).args(good)).0, Some(0));
    assert!(!data.exists());
}

#[test]
fn the_example_names_every_setting_with_its_default() {
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/floe.toml");
    let (code, json) = check(checking().arg("--config").arg(&example));
    assert_eq!(code, Some(0), "{json}");
    let text = fs::read_to_string(&example).expect("the example");
    let dir = tempfile::tempdir().expect("a directory");
    // What is commented out is a setting too, but for files that are not there.
    let lines = text.lines().filter(|line| !line.contains("tls_") && !line.contains("password_file"));
    let whole: String = lines
        .map(|line| line.strip_prefix('#').filter(|rest| !rest.starts_with(' ')).unwrap_or(line).to_owned() + "\n")
        .collect();
    let (code, all) = check(checking().arg("--config").arg(file(&dir, &whole)));
    assert_eq!(code, Some(0), "{all}");
    let mut section = String::new();
    let mut named = Vec::new();
    for line in text.lines() {
        if let Some(name) = line.strip_prefix('[') {
            section = name.trim_end_matches(']').to_owned() + ".";
        } else if let Some((name, _)) = line.trim_start_matches('#').split_once(" = ").filter(|_| !line.starts_with("# ")) {
            named.push(format!("{section}{name}"));
        }
    }
    let settings: Vec<&String> = json.as_object().expect("an object").keys().collect();
    assert_eq!(named.iter().collect::<Vec<_>>(), settings);
    let size = |text: &str| text.replace(" ", "").replace("iB", "");
    for name in settings {
        let ((default, from), (shown, _)) = (holds(&json, name), holds(&all, name));
        if from == "default" && !default.is_empty() && !name.contains("tls_") {
            assert_eq!(size(&default), size(&shown), "{name}");
        }
    }
}

#[test]
fn the_first_password_can_come_from_a_file() {
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("password");
    for (text, works) in [("from a file\n", true), ("from a file", true), ("", false), ("\n", false), ("one\ntwo\n", false)] {
        fs::write(&path, text).expect("a file");
        let code = check(checking().args(["--data", "/nowhere", "--admin-password-file"]).arg(&path)).0;
        assert_eq!(code, Some(if works { 0 } else { 2 }), "{text:?}");
    }
    fs::write(&path, "from a file\n").expect("a file");
    let both = check(checking().args(["--data", "/nowhere", "--admin-password-file"]).arg(&path).env("FLOE_ADMIN_PASSWORD", "x"));
    assert_eq!(both.0, Some(2), "which of the two?");
    let node = Node::start_as(|command| {
        command.env_remove("FLOE_ADMIN_PASSWORD").arg("--admin-password-file").arg(&path);
    });
    assert_eq!(node.said["account"]["email"], EMAIL);
    assert_eq!(node.said["account"]["password"], Value::Null, "it is not printed");
    let answer = node.client().call("GET", "/api/2.0/drives/", &[&login(EMAIL, "from a file")], b"");
    assert_eq!(answer.status, 200);
    node.serving.stop();
}

#[test]
fn a_password_that_is_made_up_is_printed_once() {
    let dir = tempfile::tempdir().expect("a directory");
    let data = dir.path().join("deep/node");
    let start = || {
        let holder = tempfile::tempdir().expect("a directory");
        Node::from(serve().env_remove("FLOE_ADMIN_PASSWORD").arg("--data").arg(&data), holder)
    };
    let node = start();
    assert_eq!(fs::metadata(&data).expect("a directory").permissions().mode() & 0o7777, 0o700);
    let password = node.said["account"]["password"].as_str().expect("a password").to_owned();
    assert_eq!(node.client().call("GET", "/api/2.0/drives/", &[&login(EMAIL, &password)], b"").status, 200);
    node.serving.stop();
    let again = start();
    assert_eq!(again.said.get("account"), None, "the account is there");
    assert_eq!(again.client().call("GET", "/api/2.0/drives/", &[&login(EMAIL, &password)], b"").status, 200);
    again.serving.stop();
}
