// SPDX-License-Identifier: Apache-2.0
//! `lbctl` as it is run, against a daemon with made-up answers.
#![forbid(unsafe_code)]

// Each test uses a part of it.
#[allow(dead_code)]
mod fake;
mod schema;

use fake::{Daemon, Manner, Ran, lbctl};
use serde::Serialize;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::Stdio;

/// Every verb that asks a daemon: its name in the schema, how it is called, what it has to print with `--json`, and what people have to see.
struct Case {
    verb: &'static str,
    call: &'static [&'static str],
    sent: Vec<Value>,
    seen: &'static [&'static str],
}

fn case<T: Serialize>(
    verb: &'static str,
    call: &'static [&'static str],
    sent: &[T],
    seen: &'static [&'static str],
) -> Case {
    let sent = sent.iter().map(|it| serde_json::to_value(it).expect("JSON")).collect();
    Case { verb, call, sent, seen }
}

fn cases() -> Vec<Case> {
    let commanded = [fake::commanded(Manner::Answers)];
    let command = |verb, call| {
        case(verb, call, &commanded, &[" 1  alpha  done     takes part\n", "                   since now\n"])
    };
    let web = hashgate_api::v1::RulesReply { rules: fake::rules().rules[..1].to_vec() };
    let macs = json!({"ip": "10.9.0.100", "unicast": "02-BF-0A-09-00-64", "multicast": "03-BF-0A-09-00-64",
        "igmp": "01-00-5E-7F-00-64", "mode": "multicast"});
    let top = json!({"status": fake::status(), "counters": fake::counters()});
    vec![
        command("query", &["query"]),
        command("start", &["start"]),
        command("stop", &["stop"]),
        command("drainstop", &["drainstop"]),
        command("undrain", &["undrain"]),
        command("suspend", &["suspend"]),
        command("resume", &["resume"]),
        command("enable", &["enable", "--rule", "web"]),
        command("disable", &["disable", "--rule", "all"]),
        command("drain", &["drain", "--rule", "web", "--rule", "mail"]),
        command("capacity", &["capacity", "75"]),
        command("hold", &["hold", "5000"]),
        command("reload", &["reload"]),
        case(
            "params",
            &["params"],
            &[fake::params()],
            &["from /etc/hashgate/cluster.toml", "cluster.period_ms   80\n"],
        ),
        case(
            "ip2mac",
            &["ip2mac"],
            &[macs],
            &["multicast  03-BF-0A-09-00-64  (in use)", "arp -s 10.9.0.100 02:bf:0a:09:00:64"],
        ),
        case(
            "queryport",
            &["queryport", "80/tcp"],
            &[web],
            &["80/tcp: rule \"web\" (all, ports 80, 443, tcp, multiple), draining"],
        ),
        case(
            "map show",
            &["map", "show", "--rule", "web"],
            &[fake::map()],
            &["alpha   ████████████████░░░░░░░░░░░░░░░░  2048  50.0 %", "nobody", "2 buckets are being"],
        ),
        case(
            "bindings dump",
            &["bindings", "dump"],
            &fake::bindings(),
            &["192.0.2.7:40000", "[2001:db8::7]:40000", "60 min", "12 s"],
        ),
        case(
            "bindings watch",
            &["bindings", "watch"],
            &fake::binding_events(),
            &["2023-11-14 22:13:20.123  created", "4 events were lost", "192.0.2.7:40000 > 10.9.0.100:80 established"],
        ),
        case("bindings count", &["bindings", "count"], &[fake::count()], &["12 bindings match", "established 12"]),
        case(
            "bindings delete",
            &["bindings", "delete", "--all"],
            &[hashgate_api::v1::DeleteBindingsReply { deleted: 77 }],
            &["77 bindings deleted"],
        ),
        case("rules", &["rules"], &[fake::rules()], &["18 446 744 073 709 551 615", "alpha 100, beta 50"]),
        case("targets", &["targets"], &[fake::targets()], &["9 876 543"]),
        case(
            "counters",
            &["counters"],
            &[fake::counters()],
            &["discard not-owner  1 000 001  64 000 064", "ARP rewritten", "port 1: 2 frames were lost"],
        ),
        case(
            "events",
            &["events", "--last", "2"],
            &fake::events(),
            &["alpha  epoch 41  left-out: beta has other rules"],
        ),
        case(
            "nic info",
            &["nic", "info"],
            &[fake::nic_info()],
            &["vfio:0000:03:00.0", "expired: no VIP traffic", "41 cycles (127 ns)"],
        ),
        case(
            "status",
            &["status"],
            &[fake::status()],
            &["! beta has other rules", "lease     0.25 s left", "(7)", "converging for 1.50 s"],
        ),
        case(
            "top",
            &["top"],
            &[top],
            &["! gamma is silent", "left-out", "web            beta           ████████░", "discard"],
        ),
        case(
            "explain",
            &["explain", "192.0.2.7:40000", "10.9.0.100:80", "tcp", "--syn"],
            &[fake::explain()],
            &["bucket  4095, being handed over", "remembered by alpha: tcp 192.0.2.7"],
        ),
        case("occupancy", &["occupancy"], &[fake::occupancy()], &["link 10.00 Gbit/s", "25.0 %"]),
    ]
}

#[test]
fn json_is_what_the_daemon_says_and_fits_the_schema() {
    let daemon = Daemon::new(Manner::Answers);
    let mut described: Vec<String> = schema::all().keys().cloned().collect();
    described.retain(|it| it != "schema");
    for Case { verb, call, sent, .. } in cases() {
        let ran = daemon.run(&[call, ["--json"].as_slice()].concat());
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{verb}");
        let printed: Vec<Value> = ran.out.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        assert_eq!(printed, sent, "{verb}");
        let schema = schema::of(verb);
        printed.iter().for_each(|it| schema::check(&schema, it, verb));
        described.retain(|it| it != verb);
    }
    assert!(described.is_empty(), "nobody ran {described:?}");
}

#[test]
fn the_check_of_schemas_refuses() {
    let (schema, good) = (schema::of("status"), serde_json::to_value(fake::status()).expect("JSON"));
    assert!(!schema::refuses(&schema, &good));
    for (place, wrong) in [
        ("/epoch", json!("41")),
        ("/epoch", json!(-1)),
        ("/epoch", json!(1.5)),
        ("/excluded", json!(7)),
        ("/problems/0", Value::Null),
        ("/members/1/shares/0/draining", json!(0)),
        ("/members/1/dedicated", json!({})),
        ("/members/1", json!({})),
    ] {
        let mut bad = good.clone();
        *bad.pointer_mut(place).expect("a field") = wrong;
        assert!(schema::refuses(&schema, &bad), "{place}");
    }
    let mut more = good.clone();
    more["members"][0]["more"] = json!(1);
    assert!(schema::refuses(&schema, &more), "not described");
}

#[test]
fn people_see_what_matters() {
    let daemon = Daemon::new(Manner::Answers);
    for Case { verb, call, seen, .. } in cases() {
        let ran = daemon.run(call);
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{verb}");
        println!("$ lbctl {}\n{}", call.join(" "), ran.out);
        for text in seen {
            assert!(ran.out.contains(text), "{verb}: no {text:?} in\n{}", ran.out);
        }
        assert!(!ran.out.contains('\x1b'), "{verb}: colours where there is no terminal");
        // The sample has the longest numbers in rules, and IPv6 in bindings; the picture has a width of its own.
        if !["rules", "bindings dump", "bindings watch", "top", "explain"].contains(&verb) {
            let wide = ran.out.lines().find(|line| line.chars().count() > 80);
            assert_eq!(wide, None, "{verb}: for 80 columns");
        }
    }
}

#[test]
fn nothing_a_daemon_says_gives_orders_to_a_terminal() {
    let order = |it: char| it.is_control() && it != '\n' || ('\u{202a}'..='\u{202e}').contains(&it);
    for manner in [Manner::Hostile, Manner::Refuses] {
        let daemon = Daemon::new(manner);
        for Case { verb, call, sent, .. } in cases() {
            for json in [false, true] {
                let call: Vec<_> = call.iter().copied().filter(|it| !["--rule", "web", "mail"].contains(it)).collect();
                let rules: &[&str] =
                    if ["enable", "drain", "disable"].contains(&verb) { &["--rule", "all"] } else { &[] };
                let call = if verb == "disable" { vec!["disable"] } else { call };
                let ran = daemon.run(&[call.as_slice(), rules, if json { &["--json"] } else { &[] }].concat());
                assert_eq!(ran.out.find(order), None, "{verb}: {}", ran.out);
                assert_eq!(ran.err.find(order), None, "{verb}: {}", ran.err);
                assert!(ran.err.lines().count() <= 1, "{verb}: {}", ran.err);
                if manner == Manner::Refuses {
                    assert_eq!((ran.code, ran.out.as_str()), (4, ""), "{verb}: {}", ran.err);
                    assert!(ran.err.contains("refused by the daemon: not in this state"), "{}", ran.err);
                } else if json && !["ip2mac", "queryport"].contains(&verb) {
                    assert_eq!(ran.out.lines().count(), sent.len(), "{verb}: a line for each, whatever is in it");
                    let whole = ran.out.lines().any(|line| {
                        let value: Value = serde_json::from_str(line).expect("JSON");
                        value.to_string().contains("fake\u{202e}")
                    });
                    assert!(whole || verb == "bindings delete", "{verb}: programs get all of it");
                }
            }
        }
    }
}

#[test]
fn requests_say_what_was_written() {
    let daemon = Daemon::new(Manner::Answers);
    let asked = |call: &[&str]| -> Vec<(String, Value)> {
        let ran = daemon.run(call);
        assert_eq!(ran.code, 0, "{call:?}: {}", ran.err);
        daemon.asked()
    };
    let last = |call: &[&str]| asked(call).pop().expect("a request");
    let command = |host: &str, verb: &str, rules: &[&str], value: Option<u32>| {
        ("command".to_owned(), json!({"host": host, "verb": verb, "rules": rules, "value": value}))
    };
    for verb in ["query", "start", "stop", "drainstop", "undrain", "suspend", "resume"] {
        assert_eq!(last(&[verb]), command("", verb, &[], None));
    }
    for verb in ["enable", "disable", "drain"] {
        assert_eq!(last(&[verb, "--rule", "web", "--rule", "mail"]), command("", verb, &["web", "mail"], None));
        assert_eq!(last(&[verb, "--rule", "web", "--rule", "all"]), command("", verb, &["all"], None));
        assert_eq!(last(&[verb, "--rule", "default"]), command("", verb, &["default"], None));
    }
    assert_eq!(last(&["capacity", "1000", "--host", "beta"]), command("beta", "capacity", &[], Some(1000)));
    assert_eq!(last(&["hold", "7", "--hosts", "all"]), command("all", "hold", &[], Some(7)));
    let two: Vec<_> = asked(&["stop", "--host", "alpha,7"]).into_iter().filter(|it| it.0 == "command").collect();
    assert_eq!(two, [command("alpha", "stop", &[], None), command("7", "stop", &[], None)]);
    for (call, all, abort) in [
        (["reload"].as_slice(), false, false),
        (&["reload", "--host", "all"], true, false),
        (&["reload", "--abort"], false, true),
    ] {
        assert_eq!(last(call), ("reload".into(), json!({"all": all, "abort": abort})));
    }
    assert_eq!(last(&["events", "--last", "9", "--follow"]), ("events".into(), json!({"last": 9, "follow": true})));
    let packet = json!({"source": "2001:db8::7", "source_port": 1, "destination": "2001:db8::1", "destination_port": 2,
        "protocol": "tcp", "opens": true});
    assert_eq!(last(&["explain", "[2001:db8::7]:1", "[2001:db8::1]:2", "tcp", "--syn"]), ("explain".into(), packet));
}

#[test]
fn filters_say_what_was_written() {
    let daemon = Daemon::new(Manner::Answers);
    let options = [
        "--table",
        "affinity",
        "--src",
        "192.0.2.0/24",
        "--dst",
        "10.9.0.100",
        "--sport",
        "0",
        "--dport",
        "80",
        "--proto",
        "tcp",
        "--rule",
        "web",
        "--target",
        "beta",
        "--state",
        "half-open",
        "--bucket",
        "4095",
    ];
    let filter = |limit: u32| {
        json!({"table": "affinity", "source": "192.0.2.0/24", "destination": "10.9.0.100", "source_port": 0,
            "destination_port": 80, "protocol": "tcp", "rule": "web", "target": "beta", "state": "half-open",
            "bucket": 4095, "limit": limit})
    };
    for (verb, method, more) in [
        ("dump", "bindings", ["--limit", "12"].as_slice()),
        ("watch", "watch_bindings", &[]),
        ("count", "count_bindings", &[]),
        ("delete", "delete_bindings", &[]),
    ] {
        let ran = daemon.run(&[&["bindings", verb], options.as_slice(), more].concat());
        assert_eq!(ran.code, 0, "{}", ran.err);
        let wanted = match verb {
            "dump" => filter(12),
            "delete" => json!({"filter": filter(0), "all": false}),
            _ => filter(0),
        };
        assert_eq!(daemon.asked().pop(), Some((method.to_owned(), wanted)), "{verb}");
    }
}

#[test]
fn wrong_input_ends_with_2_and_asks_nothing_to_be_done() {
    let daemon = Daemon::new(Manner::Answers);
    for (call, says) in [
        (["statsu"].as_slice(), "status"),
        (&["enable", "--rule", "wbe"], "there is no rule \"wbe\": did you mean \"web\"?"),
        (&["map", "show", "--rule", "mial"], "did you mean \"mail\"?"),
        (&["stop", "--host", "alpha,bета"], "there is no host"),
        (&["stop", "--host", "alhpa"], "did you mean \"alpha\"?"),
        (&["stop", "--host", "3"], "there is no host \"3\": there are alpha, beta"),
        (&["bindings", "dump", "--target", "bet"], "there is no target \"bet\": did you mean \"beta\"?"),
        (
            &["bindings", "count", "--rule", "zzz\x1b[31m"],
            "there is no rule \"zzz?[31m\": there are web, mail, default",
        ),
        (&["bindings", "delete"], "which bindings?"),
        (&["bindings", "delete", "--all", "--rule", "web"], "leave out"),
        (&["capacity", "1001"], "1001"),
        (&["hold", "3600001"], "3600001"),
        (&["explain", "192.0.2.7", "10.9.0.100:80", "tcp"], "is no address with port"),
        (&["queryport", "80/sctp"], "tcp or udp"),
        (&["enable"], "--rule"),
        (&["schema", "statsu"], "these do: query"),
        (&["status", "--timeout", "0"], "seconds"),
        (&["status", "--udp", "10.9.0.100"], "this verb needs the daemon itself"),
        (&["status", "--udp", "10.9.0.100", "--remote", "https://h:1"], "choose one"),
        (&["status", "--remote", "https://h:1", "--ca", "ca"], "--remote needs --ca, --cert and --key"),
        (&["status", "--ca", "ca"], "are for --remote"),
        (&["status", "--password-file", "f"], "is for --udp"),
        (&["man", "/nowhere/at/all"], "/nowhere/at/all"),
    ] {
        let ran = daemon.run(call);
        assert_eq!((ran.code, ran.out.as_str()), (2, ""), "{call:?}: {}", ran.err);
        assert!(ran.err.contains(says), "{call:?}: no {says:?} in {}", ran.err);
        let done = daemon.asked().into_iter().find(|it| !["rules", "status", "targets"].contains(&it.0.as_str()));
        assert_eq!(done, None, "{call:?}");
    }
}

#[test]
fn a_host_that_failed_ends_it_with_1() {
    let daemon = Daemon::new(Manner::Fails);
    for json in [false, true] {
        let ran = daemon.run(if json { &["stop", "--host", "all", "--json"] } else { &["stop", "--host", "all"] });
        assert_eq!((ran.code, ran.err.as_str()), (1, "lbctl: not done by 1 of 2 hosts\n"));
        assert!(ran.out.contains("no-answer"), "{}", ran.out);
    }
}

#[test]
fn without_a_daemon_it_says_how_to_start_one() {
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("lbd.sock");
    let stale = dir.path().join("stale.sock");
    drop(std::os::unix::net::UnixListener::bind(&stale).expect("a socket"));
    for path in [&missing, &stale] {
        let path = path.to_str().expect("UTF-8");
        for ran in [
            Ran::new(&mut lbctl(&["status", "--socket", path])),
            Ran::new(lbctl(&["stop"]).env("HASHGATE_SOCKET", path)),
        ] {
            assert_eq!((ran.code, ran.out.as_str(), ran.err.lines().count()), (3, "", 1), "{}", ran.err);
            assert!(ran.err.contains(path) && ran.err.contains("systemctl start lbd"), "{}", ran.err);
        }
    }
}

#[test]
fn a_daemon_that_never_answers_is_not_waited_for() {
    let daemon = Daemon::new(Manner::Silent);
    for Case { verb, call, .. } in cases() {
        let ran = daemon.run(&[call, ["--timeout", "0.05"].as_slice()].concat());
        assert_eq!((ran.code, ran.out.as_str()), (1, ""), "{verb}: {}", ran.err);
        assert!(ran.err.contains("did not answer within 0.05 s"), "{verb}: {}", ran.err);
    }
    // A listener that never takes part: the connection stands, nothing follows.
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("s");
    let _listener = std::os::unix::net::UnixListener::bind(&path).expect("a socket");
    let ran = Ran::new(&mut lbctl(&["status", "--timeout", "0.05", "--socket", path.to_str().expect("UTF-8")]));
    assert!([1, 3].contains(&ran.code) && ran.err.contains("within 0.05 s"), "{} {}", ran.code, ran.err);
}

#[test]
fn who_reads_no_further_makes_no_error() {
    let daemon = Daemon::new(Manner::Many);
    for json in [false, true] {
        let call: &[&str] = if json { &["bindings", "dump", "--json"] } else { &["bindings", "dump"] };
        let mut child = daemon.command(call).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
        let mut first = String::new();
        BufReader::new(child.stdout.take().expect("a pipe")).read_line(&mut first).expect("a line");
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!((ended.status.code(), ended.stderr.as_slice()), (Some(0), b"".as_slice()));
        assert!(!first.is_empty());
    }
}

#[test]
fn long_dumps_have_one_heading_and_one_form() {
    let ran = Daemon::new(Manner::Many).run(&["bindings", "dump"]);
    assert_eq!((ran.code, ran.out.lines().count()), (0, 20_001), "{}", ran.err);
    let rows: std::collections::BTreeSet<_> = ran.out.lines().skip(1).collect();
    assert_eq!(rows.len(), 1, "all alike: {rows:?}");
    assert!(ran.out.starts_with("proto  source "), "{:?}", ran.out.lines().next());
}

#[test]
fn counters_again_and_again_have_rates() {
    let daemon = Daemon::new(Manner::Answers);
    let mut child =
        daemon.command(&["counters", "--watch=0.01", "--all"]).stdout(Stdio::piped()).spawn().expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines().map(|line| line.expect("UTF-8"));
    let heading = lines.find(|line| line.contains("packets/s")).expect("a heading");
    assert!(heading.ends_with("bits/s"), "{heading}");
    assert!(lines.by_ref().any(|line| line.starts_with("idle-rule")), "--all shows what is 0");
    assert!(lines.any(|line| line.contains("packets/s")), "again");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    assert!(!daemon.run(&["counters"]).out.contains("idle-rule"), "not without --all");
}

#[test]
fn owners_as_a_picture() {
    let ran = Daemon::new(Manner::Answers).run(&["map", "show", "--owners"]);
    let rows: Vec<&str> = ran.out.lines().collect();
    assert_eq!((rows.len(), rows[1]), (66, format!("     0  {}", "ab".repeat(32)).as_str()));
    assert_eq!(rows[64], format!("  4032  {}a.", "ab".repeat(31)));
    assert_eq!(rows[65], "        a alpha (2048)  b beta (2047)");
}

#[test]
fn what_needs_no_daemon() {
    let dir = tempfile::tempdir().expect("a directory");
    let run = |call: &[&str]| {
        let ran = Ran::new(&mut lbctl(call));
        assert_eq!((ran.code, ran.err.as_str()), (0, ""), "{call:?}");
        ran.out
    };
    assert!(run(&["ip2mac", "255.1.2.3"]).contains("unicast    02-BF-FF-01-02-03\n"));
    for shell in ["bash", "zsh", "fish"] {
        assert!(run(&["completions", shell]).contains("drainstop"), "{shell}");
    }
    run(&["man", dir.path().to_str().expect("UTF-8")]);
    for Case { verb, .. } in cases() {
        let words: Vec<_> = verb.split(' ').collect();
        let page = dir.path().join(format!("lbctl-{}.1", words.join("-")));
        assert!(std::fs::read_to_string(&page).expect("a page").contains("Example"), "{}", page.display());
        let help = run(&[words.as_slice(), &["--help"]].concat());
        assert!(help.contains("Example") && help.contains("lbctl "), "{verb}: {help}");
    }
    for code in ["0  done", "3  there is no daemon", "4  the daemon refused"] {
        assert!(run(&["--help"]).contains(code));
    }
}
