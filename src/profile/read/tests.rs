use super::super::{
    ContentItem, HttpEndpoint, HttpVersion, Index, InfoHash, TorrentItem, Tracker, WebEndpoint,
};
use super::*;
use crate::profile::{Capacity, DhtNodes, Dns, Shaper};
use std::time::Duration;

const SMALLEST: &str = r#"
squall = 1
kind = "target"
name = "staging"
index.address = "127.0.0.1:40001"
metadata.address = "[::1]:40002"
tracker = [{ address = "127.0.0.1:40003" }]
dht.bootstrap = ["127.0.0.1:40004", "127.0.0.1:40005"]

[[content]]
name = "item-01"
info_hash = "00FF0203040506070809101112131415161718ff"
torrent = "/torrents/item-01.torrent"
seed = 42
"#;

/// Every key that the smallest target leaves out.
const REST: &str = r#"
[swarm]
stand_in_port = 40006
peers = ["127.0.0.1:40006"]
transports = ["tcp", "utp"]

[[process]]
layer = "dht"
pid = 1234

[[shaper]]
layer = "tracker"
control = "127.0.0.1:4000"
relay = "udp-1"

[capacity.tracker]
rate = "6000/min"
connections_per_second = "20/s"
connections = 400
bandwidth = "8 Mbit/s"

[envelope.tracker]
base = "6000/min"
burst = "400/s"
burst_for = "5m"
reserve = "600/s"
headroom = "25%"
abort_on = { errors = "20%" }
slo = { quantile = 0.999, limit = "250ms", errors = "2%" }

[authorization]
networks = ["10.77.0.0/16", "fd00:77::/64"]
ceiling = "500/s"
from = 2026-01-01T00:00:00Z
until = 2026-01-02T00:00:00Z
contact = "ops@example.org"
token = "a token"
"#;

fn good(text: &str) -> Target {
    Target::parse(text, "staging").unwrap()
}

#[test]
fn every_key_means_what_it_says() {
    let head = SMALLEST.replacen(
        "index.address",
        "index.host = \"index.testbed\"\nindex.page = \"/content/{name}\"\nindex.assets = [\"/0.css\", \"/1.js\"]\nindex.address",
        1,
    );
    let target = good(&format!("{head}{REST}"));
    let index = Index {
        server: HttpEndpoint::plain("127.0.0.1:40001".parse().unwrap(), "index.testbed".to_owned()),
        page: "/content/{name}".to_owned(),
        assets: vec!["/0.css".to_owned(), "/1.js".to_owned()],
    };
    assert_eq!((target.name.as_str(), target.index), ("staging", index));
    assert_eq!(target.trackers, [Tracker::udp("127.0.0.1:40003".parse().unwrap())]);
    assert_eq!(target.dht, ["127.0.0.1:40004".parse().unwrap(), "127.0.0.1:40005".parse().unwrap()]);
    assert_eq!(target.stand_in_port, Some(40006));
    assert_eq!(target.own_peers, ["127.0.0.1:40006".parse().unwrap()]);
    assert_eq!(target.transports, [Transport::Tcp, Transport::Utp]);
    let item = ContentItem {
        name: "item-01".to_owned(),
        torrent: Some(TorrentItem {
            info_hash: InfoHash::V1(
                *b"\x00\xff\x02\x03\x04\x05\x06\x07\x08\x09\x10\x11\x12\x13\x14\x15\x16\x17\x18\xff",
            ),
            path: "/torrents/item-01.torrent".to_owned(),
            web_seeds: Vec::new(),
        }),
        cid: None,
        seed: Some(42),
    };
    assert_eq!(target.content, [item]);
    assert_eq!(target.processes, [Process { layer: Layer::Dht, pid: 1234 }]);
    let control = "127.0.0.1:4000".parse().unwrap();
    assert_eq!(target.shapers, [Shaper { layer: Layer::Tracker, control, relay: "udp-1".to_owned() }]);
    let capacity = Capacity {
        rate: Some(100.0),
        connections_per_second: Some(20.0),
        connections: Some(400),
        bandwidth: Some(1e6),
    };
    assert_eq!(capacity.to_string(), "100/s, 20/s new connections, 400 connections, 8 Mbit/s");
    assert_eq!(target.capacity, [(Layer::Tracker, capacity)].into());
    let promise = LayerEnvelope {
        recovery: None,
        base: 100.0,
        burst: 400.0,
        burst_for: Duration::from_secs(300),
        reserve: 600.0,
        slo: Slo { quantile: 0.999, limit: Duration::from_millis(250), errors: 0.02 },
        headroom: 0.25,
        abort_on: Some(AbortOn { errors: Some(0.2), limit: None, over: Duration::from_secs(10) }),
    };
    assert_eq!(target.envelope, Envelope { layers: [(Layer::Tracker, promise)].into() });
    let authorization = Authorization {
        networks: vec!["10.77.0.0/16".parse().unwrap(), "fd00:77::/64".parse().unwrap()],
        ceiling: 500.0,
        from: "2026-01-01T00:00:00Z".parse().unwrap(),
        until: "2026-01-02T00:00:00Z".parse().unwrap(),
        contact: "ops@example.org".to_owned(),
        token: "a token".to_owned(),
    };
    assert_eq!(target.authorization, Some(authorization));
}

const CID: &str = "bafkreifzjut3te2nhyekklss27nh3k72ysco7y32koao5eei66wof36n5e";

#[test]
fn content_is_a_torrent_or_a_dag_of_the_gateway() {
    let head = SMALLEST.split("[[content]]").next().unwrap();
    let gateway = "gateway = { address = \"127.0.0.1:40008\", path = \"/btfs/{cid}\" }\n";
    let of = |gateway: &str, item: &str| {
        let text = format!("{}{gateway}[[content]]\nname = \"a\"\n{item}", head.replacen("dht", "\ndht", 1));
        Target::parse(&text, "staging").map_err(|report| report.render(false))
    };
    let target = of(gateway, &format!("cid = \"{CID}\"")).unwrap();
    assert_eq!(target.gateway.unwrap().path, "/btfs/{cid}");
    assert_eq!(
        (target.content[0].cid.unwrap().to_string().as_str(), &target.content[0].torrent),
        (CID, &None)
    );
    let old = of(gateway, "cid = \"QmT78zSuBmuS4z925WZfrqQ1qHaJ56DQaTfyMUF7F8ff5o\"").unwrap();
    assert_eq!(old.content[0].cid.unwrap().codec(), 0x70);
    for (gateway, item, problem) in [
        ("", format!("cid = \"{CID}\""), "no gateway to read it through"),
        (gateway, String::new(), "neither a torrent nor a `cid`"),
        (gateway, format!("cid = \"{CID}\"\ntorrent = \"/a.torrent\""), "`info_hash` is missing"),
        // Of DAG-CBOR, and cut short.
        (
            gateway,
            "cid = \"bafyreigbtj4x7ip5legnfznufuopl4sg4knzc2cof6duas4b3q2fy6swua\"".to_owned(),
            "SHA-256",
        ),
        (gateway, format!("cid = \"{}\"", &CID[..50]), "SHA-256"),
        (gateway, format!("cid = \"{CID}\"\n[[content]]\nname = \"b\"\ncid = \"{CID}\""), CID),
    ] {
        let problems = of(gateway, &item).unwrap_err();
        assert!(problems.contains(problem), "{item}\n{problems}");
    }
}

#[test]
fn what_is_left_out_has_its_default() {
    let target = good(SMALLEST);
    assert_eq!(target.gateway, None);
    assert_eq!(target.index.server.host, "127.0.0.1:40001");
    assert_eq!(target.metadata.host, "[::1]:40002");
    assert_eq!((target.index.page.as_str(), target.index.assets.len()), ("/", 0));
    assert_eq!((target.stand_in_port, target.transports), (None, vec![Transport::Tcp]));
    assert_eq!(target.envelope, Envelope::default());
    assert_eq!(target.processes, []);
    assert_eq!(target.authorization, None);
    assert_eq!((target.dht_nodes, target.dns), (DhtNodes { k: 8, check_local_ids: false }, None));
}

#[test]
fn resolvers_need_a_name_to_resolve() {
    let with_dns = SMALLEST.replacen("dht.bootstrap", "dns.resolvers = [\"127.0.0.1:53\"]\ndht.bootstrap", 1);
    let problems = Target::parse(&with_dns, "a test").unwrap_err().render(false);
    assert!(problems.contains("no server has a name"), "{problems}");
    let target = good(&with_dns.replacen(
        "metadata.address",
        "metadata.host = \"files.test:80\"\nmetadata.address",
        1,
    ));
    assert_eq!(target.dns, Some(Dns { resolvers: vec!["127.0.0.1:53".parse().unwrap()], cached: 0.6 }));
    assert_eq!((target.index.server.name(), target.metadata.name()), (None, Some("files.test")));
}

#[test]
fn visitors_have_networks_of_their_own() {
    let with = |networks: &str| {
        let visitors = format!("visitors.addresses = [{networks}]\ndht.bootstrap");
        Target::parse(&SMALLEST.replacen("dht.bootstrap", &visitors, 1), "a test")
    };
    let target = with("\"10.77.129.7/17\", \"2001:db8:1::/64\"").unwrap();
    let expected = ["10.77.128.0/17", "2001:db8:1::/64"].map(|network| network.parse().unwrap());
    assert_eq!(target.visitor_networks, expected);
    for (networks, message) in [
        ("", "`addresses` is empty"),
        ("\"0.0.0.0/0\"", "no wider than"),
        ("\"127.0.0.0/9\"", "127.0.0.1:40001 of the target lies in the visitors' own networks"),
    ] {
        let problems = with(networks).unwrap_err().render(false);
        assert!(problems.contains(message), "{networks}: {problems}");
    }
}

#[test]
fn the_shares_of_a_mix_become_a_whole() {
    let mix = |shares: [&str; 3]| {
        let member = |(i, share): (usize, &&str)| {
            format!(
                "[[access]]\nname = \"line-{i}\"\nshare = \"{share}\"\ndown = \"8 Mbit/s\"\nup = \"8 bit/s\"\n"
            )
        };
        let members: String = shares.iter().enumerate().map(member).collect();
        parse_access(&format!("squall = 1\nkind = \"access\"\n{members}"))
    };
    let thirds = mix(["33%", "33%", "33%"]).unwrap();
    assert!(thirds.members.iter().all(|(line, share)| (share - 1.0 / 3.0).abs() < 1e-15 && line.up == 1.0));
    let problems = mix(["33%", "33%", "30%"]).unwrap_err();
    assert_eq!(problems.len(), 1);
    assert_eq!(problems[0].message, "the shares of `access` add up to 96%");
}

/// A profile beside a CA's certificate, with this text in the place of the index's address.
fn with_tls(index: &str) -> Result<Target, Report> {
    beside_certificates(&SMALLEST.replacen("index.address = \"127.0.0.1:40001\"", index, 1))
}

/// A profile that may name `ca.pem`, and `key.pem`, which is no certificate.
fn beside_certificates(profile: &str) -> Result<Target, Report> {
    let directory = tempfile::tempdir().unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let certificate = rcgen::CertificateParams::default().self_signed(&key).unwrap();
    std::fs::write(directory.path().join("ca.pem"), certificate.pem()).unwrap();
    std::fs::write(directory.path().join("key.pem"), "no PEM").unwrap();
    let path = directory.path().join("staging.toml");
    std::fs::write(&path, profile).unwrap();
    Target::load(&path)
}

#[test]
fn servers_say_what_they_speak_and_how_they_prove_who_they_are() {
    use HttpVersion::{One, Three, Two};
    let address = "index.address = \"127.0.0.1:40001\"\n";
    let tls = "index.tls.ca = \"ca.pem\"\n";
    let versions = |more: &str| with_tls(&format!("{address}{more}")).unwrap().index.server.versions;
    assert_eq!(versions(""), [One]);
    assert_eq!(versions("index.http = [\"2\"]"), [Two]);
    assert_eq!(versions(tls), [One, Two]);
    assert_eq!(versions(&format!("{tls}index.http = [\"3\", \"1.1\", \"3\"]")), [One, Three]);
    let proof = |more: &str| with_tls(&format!("{address}{tls}{more}")).unwrap().index.server.tls.unwrap();
    assert_eq!(proof("").roots.len(), 1);
    let name = |more: &str| proof(more).server_name.to_str().into_owned();
    assert_eq!(name(""), "127.0.0.1");
    assert_eq!(name("index.host = \"fleet.test:8443\""), "fleet.test");
    assert_eq!(name("index.host = \"[::1]:8443\""), "::1");
    assert_eq!(name("index.host = \"fleet.test\"\nindex.tls.server_name = \"other.test\""), "other.test");
    let web = "[[web]]\nname = \"wallet\"\naddress = \"127.0.0.1:40009\"";
    let wallet = HttpEndpoint::plain("127.0.0.1:40009".parse().unwrap(), "127.0.0.1:40009".to_owned());
    assert_eq!(
        good(&format!("{SMALLEST}{web}")).web,
        [WebEndpoint { name: "wallet".to_owned(), server: wallet }]
    );
}

#[test]
fn servers_that_nobody_could_reach_are_refused() {
    let address = "index.address = \"127.0.0.1:40001\"\n";
    let cases = [
        ("index.http = [\"3\"]", "HTTP/3 needs TLS"),
        ("index.http = [\"1.1\", \"2\"]", "two plain versions"),
        ("index.http = [\"1.0\"]", "must be one of \"1.1\", \"2\", \"3\""),
        ("index.tls.ca = \"nowhere.pem\"", "No such file"),
        ("index.tls.ca = \"key.pem\"", "no certificate in it"),
        ("index.tls.server_name = \"a\"", "`ca` is missing"),
        ("index.host = \"no name\"\nindex.tls.ca = \"ca.pem\"", "no certificate can be for"),
    ];
    for (more, message) in cases {
        let report = with_tls(&format!("{address}{more}")).unwrap_err();
        assert!(report.to_string().contains(message), "{more}: {report}");
    }
}

#[test]
fn who_speaks_http3_speaks_http2() {
    let clients = |more: &str| {
        let client = "name = \"a\"\nshare = \"100%\"\npeer_id = \"-qB4520-\"\nuser_agent = \"a/1\"";
        parse_clients(&format!("squall = 1\nkind = \"clients\"\n[[client]]\n{client}\n{more}"))
    };
    let (client, _) = clients("http2 = \"70%\"\nhttp3 = \"20%\"").unwrap().members.remove(0);
    assert_eq!((client.http2, client.http3), (0.7, 0.2));
    let (client, _) = clients("").unwrap().members.remove(0);
    assert_eq!((client.http2, client.http3), (0.0, 0.0));
    assert_eq!(clients("http3 = \"1%\"").unwrap_err()[0].message, "`http3` must be at most `http2`");
}

#[test]
fn a_torrent_is_known_by_one_hash_or_both() {
    let (v1, v2) = ("0c".repeat(20), "0d".repeat(32));
    let with = |hashes: &str| {
        let hash = "info_hash = \"00FF0203040506070809101112131415161718ff\"";
        Target::parse(&format!("{SMALLEST}{REST}").replacen(hash, hashes, 1), "test")
    };
    let hash = |hashes: &str| *with(hashes).unwrap().content[0].info_hash().unwrap();
    assert_eq!(hash(&format!("info_hash = \"{v2}\"")), InfoHash::V2([13; 32]));
    let both = format!("info_hash = \"{v1}\"\ninfo_hash_v2 = \"{v2}\"");
    assert_eq!(hash(&both), InfoHash::Hybrid { v1: [12; 20], v2: [13; 32] });
    for wrong in [both.replace(&v1, &v2), both.replace(&v2, &v1), format!("info_hash = \"{v1}00\"")] {
        assert!(with(&wrong).is_err(), "{wrong}");
    }
}

#[test]
fn trackers_have_tiers_and_may_speak_tls() {
    let with = |keys: &str| {
        let tracker = "{ address = \"127.0.0.1:40003\"";
        beside_certificates(&SMALLEST.replacen(tracker, &format!("{tracker}{keys}"), 1))
    };
    let added = |tracker: &str| with(tracker).unwrap().trackers.pop().unwrap();
    let plain = added(", tier = 3");
    assert_eq!((plain.tier, plain.tls.is_some(), added("").tier), (3, false, 1));
    let secure = added(", kind = \"ws\", host = \"fleet.test:443\", tls.ca = \"ca.pem\"");
    assert_eq!(secure.tls.unwrap().server_name.to_str(), "fleet.test");
    for (wrong, message) in [
        (", tls.ca = \"ca.pem\"", "there is no TLS with UDP trackers"),
        (", kind = \"http\", tls.ca = \"nowhere.pem\"", "No such file"),
        (", tier = 0", "must be a tier from 1 to 100"),
    ] {
        let report = with(wrong).unwrap_err();
        assert!(report.to_string().contains(message), "{wrong}: {report}");
    }
}
