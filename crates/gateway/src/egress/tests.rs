//! Which targets are called, as tables.

use super::*;

const BLOCKED: &str = TargetError::BLOCKED;

fn egress(allow: &[&str]) -> Egress {
    let allow = allow.iter().map(|entry| AllowEntry::parse(entry).expect(entry)).collect();
    Egress::new(&EgressConfig { allow })
}

fn code(egress: &Egress, url: &str) -> &'static str {
    egress.check_url(url).map_or_else(|error| error.code, |_| "ok")
}

const SAFE: Door = Door { is_plain: false, port: 443 };

fn code_of(egress: &Egress, host: &str, address: &str) -> &'static str {
    let address = address.parse().expect(address);
    egress.check_address(SAFE, host, address).map_or_else(|error| error.code, |()| "ok")
}

/// What no list opens, with loopback, which only its own entry opens.
const NEVER_CALLED: &[&str] = &[
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "169.254.1.1",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.1",
    "239.255.255.250",
    "255.255.255.255",
    "127.0.0.1",
    "127.255.255.254",
    "::",
    "::1",
    "fe80::1",
    "febf::1",
    "ff02::1",
    "fd00:ec2::254",
    "fd20:ce::254",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "::ffff:0.0.0.0",
    "::127.0.0.1",
    "::169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b::6464:64c8",
    "64:ff9b:1::7f00:1",
    "64:ff9b:1:a9fe:a9:fe00::",
    "2002:7f00:1::",
    "2002:a9fe:a9fe::1",
    // The carried address stands inverted at the end of a Teredo address: 127.0.0.1 and 169.254.169.254.
    "2001:0:4136:e378:8000:63bf:80ff:fffe",
    "2001:0:4136:e378:8000:63bf:5601:5601",
];

const PRIVATE: &[&str] = &[
    "10.0.0.1",
    "10.255.255.255",
    "100.64.0.1",
    "100.127.255.255",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.19.255.255",
    "198.51.100.1",
    "203.0.113.1",
    "240.0.0.1",
    "255.255.255.254",
    "fc00::1",
    "fd12:3456::1",
    "fec0::1",
    "100::1",
    "2001:db8::1",
    "3fff::1",
    "5f00::1",
    "::ffff:10.0.0.1",
    "::10.0.0.1",
    "::8.8.8.8",
    "64:ff9b::a00:1",
    "64:ff9b::c0a8:101",
    "2002:a00:1::",
    "2002:808:808::1",
    "2001:0:4136:e378:8000:63bf:f7f7:f7f7",
];

const PUBLIC: &[&str] = &[
    "1.1.1.1",
    "8.8.8.8",
    "9.255.255.255",
    "11.0.0.1",
    "100.63.255.255",
    "100.128.0.1",
    "126.255.255.255",
    "128.0.0.1",
    "169.253.255.255",
    "172.15.255.255",
    "172.32.0.1",
    "192.167.255.255",
    "198.17.255.255",
    "223.255.255.255",
    "2606:4700::1111",
    "2a00:1450::1",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
];

fn in_url(address: &str) -> String {
    if address.contains(':') { format!("https://[{address}]/in") } else { format!("https://{address}/in") }
}

#[test]
fn without_a_list_nothing_is_called() {
    let nothing = egress(&[]);
    for address in PUBLIC.iter().chain(PRIVATE).chain(NEVER_CALLED) {
        assert_eq!(code(&nothing, &in_url(address)), BLOCKED, "{address}");
        assert_eq!(code_of(&nothing, "hooks.example.net", address), BLOCKED, "{address}");
    }
    let error = nothing.check_url("https://hooks.example.net/in").unwrap_err();
    assert_eq!(error.code, BLOCKED);
    assert!(error.detail.starts_with("egress.allow is empty"), "{error}");
}

#[test]
fn a_star_opens_every_public_address_and_no_other() {
    let egress = egress(&["*"]);
    for address in PUBLIC {
        assert_eq!(code(&egress, &in_url(address)), "ok", "{address}");
        assert_eq!(code_of(&egress, "hooks.example.net", address), "ok", "{address}");
    }
    for address in PRIVATE.iter().chain(NEVER_CALLED) {
        assert_eq!(code(&egress, &in_url(address)), BLOCKED, "{address}");
        assert_eq!(code_of(&egress, "hooks.example.net", address), BLOCKED, "{address}");
    }
}

#[test]
fn no_list_opens_what_is_never_called() {
    let everything = egress(&["0.0.0.0/0", "::/0", "hooks.example.net", "*.example.net"]);
    for address in NEVER_CALLED {
        assert_eq!(code(&everything, &in_url(address)), BLOCKED, "{address}");
        for host in ["hooks.example.net", "other.example.net"] {
            assert_eq!(code_of(&everything, host, address), BLOCKED, "{address}");
        }
    }
    for address in PRIVATE.iter().chain(PUBLIC) {
        assert_eq!(code(&everything, &in_url(address)), "ok", "{address}");
    }
}

#[test]
fn a_listed_network_opens_itself_alone() {
    let egress = egress(&["10.20.0.0/16", "192.168.7.7", "fd12:3456::/32"]);
    for address in
        ["10.20.0.1", "10.20.255.255", "192.168.7.7", "fd12:3456::9", "::ffff:10.20.0.1", "64:ff9b::a14:1"]
    {
        assert_eq!(code_of(&egress, "a.example.net", address), "ok", "{address}");
        assert_eq!(code(&egress, &in_url(address)), "ok", "{address}");
    }
    for address in
        ["10.21.0.1", "192.168.7.8", "8.8.8.8", "fd12:3457::1", "::ffff:10.21.0.1", "64:ff9b::a15:1"]
    {
        assert_eq!(code_of(&egress, "a.example.net", address), BLOCKED, "{address}");
        assert_eq!(code(&egress, &in_url(address)), BLOCKED, "{address}");
    }
    // A name may lead into the network: that is seen when it is called.
    assert_eq!(code(&egress, "http://a.example.net/in"), "ok");
}

#[test]
fn a_wide_ipv6_network_does_not_open_the_private_ipv4_networks_behind_it() {
    let egress = egress(&["::/0"]);
    for address in ["64:ff9b::a00:1", "2002:a00:1::", "::10.0.0.1", "10.0.0.1", "::ffff:10.0.0.1"] {
        assert_eq!(code_of(&egress, "a", address), BLOCKED, "{address}");
    }
    for address in ["64:ff9b::808:808", "2002:808:808::1", "fd12::1"] {
        assert_eq!(code_of(&egress, "a", address), "ok", "{address}");
    }
}

#[test]
fn a_listed_name_may_lead_to_private_addresses() {
    let egress = egress(&["Hooks.example.net", "*.svc.cluster.local"]);
    for host in ["hooks.example.net", "HOOKS.example.net", "a.svc.cluster.local", "b.a.svc.cluster.local"] {
        assert_eq!(code(&egress, &format!("http://{host}:8080/in")), "ok", "{host}");
        assert_eq!(code_of(&egress, host, "10.1.2.3"), "ok", "{host}");
        assert_eq!(code_of(&egress, host, "8.8.8.8"), "ok", "{host}");
        assert_eq!(code_of(&egress, host, "127.0.0.1"), BLOCKED, "{host}");
    }
    for host in ["example.net", "x.hooks.example.net", "svc.cluster.local", "asvc.cluster.local", "localhost"]
    {
        assert_eq!(code(&egress, &format!("http://{host}/in")), BLOCKED, "{host}");
        assert_eq!(code_of(&egress, host, "8.8.8.8"), BLOCKED, "{host}");
    }
    assert_eq!(code(&egress, "http://10.1.2.3/in"), BLOCKED);
}

#[test]
fn without_tls_only_what_is_named_or_near_is_called() {
    const SAFE_ONLY: &str = TargetError::HTTPS_REQUIRED;
    let near = ["10.0.0.1", "fd12::1", "192.168.1.1"];
    for (allow, opens, shuts) in [
        (&["*"][..], &[][..], &["8.8.8.8", "hooks.example.net"][..]),
        (
            &["0.0.0.0/0", "::/0"],
            &["10.0.0.1", "[fd12::1]", "hooks.example.net"],
            &["8.8.8.8", "[2a00:1450::1]"],
        ),
        (&["8.8.0.0/16", "8.8.4.4"], &["8.8.4.4"], &["8.8.8.8"]),
        (
            &["hooks.example.net", "*.example.org", "*"],
            &["hooks.example.net", "a.example.org"],
            &["other.example.net"],
        ),
        (&["127.0.0.1"], &["127.0.0.1", "localhost"], &[]),
    ] {
        let egress = egress(allow);
        for host in opens {
            assert_eq!(code(&egress, &format!("http://{host}/in")), "ok", "{allow:?} {host}");
        }
        for host in shuts {
            assert_eq!(code(&egress, &format!("http://{host}/in")), SAFE_ONLY, "{allow:?} {host}");
            assert_eq!(code(&egress, &format!("https://{host}/in")), "ok", "{allow:?} {host}");
        }
    }
    // A name is judged by where it leads.
    let plain = |allow: &[&str], host: &str, address: &str| {
        let door = Door { is_plain: true, port: 80 };
        let address = address.parse().unwrap();
        egress(allow).check_address(door, host, address).map_or_else(|error| error.code, |()| "ok")
    };
    for address in near {
        assert_eq!(plain(&["0.0.0.0/0", "::/0"], "a", address), "ok", "{address}");
    }
    assert_eq!(plain(&["0.0.0.0/0"], "a", "8.8.8.8"), SAFE_ONLY);
    assert_eq!(plain(&["a", "0.0.0.0/0"], "a", "8.8.8.8"), "ok");
    assert_eq!(plain(&["*"], "a", "64:ff9b::808:808"), SAFE_ONLY);
}

#[test]
fn an_entry_with_a_port_opens_that_port_alone() {
    let egress = egress(&["10.0.0.0/8:8443", "hooks.example.net:443", "*.svc.local:80", "[fd12::/16]:9000"]);
    for url in [
        "https://10.1.2.3:8443/",
        "https://hooks.example.net/",
        "http://a.svc.local/",
        "http://[fd12::1]:9000/",
        "https://somewhere.example.net:8443/",
    ] {
        assert_eq!(code(&egress, url), "ok", "{url}");
    }
    for url in [
        "https://10.1.2.3/",
        "https://hooks.example.net:8444/",
        "https://a.svc.local/",
        "http://[fd12::1]:9001/",
        "https://somewhere.example.net/",
    ] {
        assert_eq!(code(&egress, url), BLOCKED, "{url}");
    }
    let door = Door { is_plain: false, port: 443 };
    assert!(egress.check_address(door, "a", "10.1.2.3".parse().unwrap()).is_err());
    assert!(egress.check_address(door, "hooks.example.net", "10.1.2.3".parse().unwrap()).is_ok());
}

#[test]
fn what_is_the_gateways_own_is_never_called() {
    let egress = egress(&["127.0.0.1", "10.0.0.0/8", "hooks.example.net"]);
    let own = OwnAddresses {
        listening: vec!["127.0.0.1:8080".parse().unwrap()],
        store: vec!["10.0.0.5:6379".parse().unwrap()],
    };
    egress.keep_off(own);
    for (url, expected) in [
        ("http://127.0.0.1:8080/v1", BLOCKED),
        ("http://[::ffff:127.0.0.1]:8080/v1", BLOCKED),
        ("http://127.0.0.1:8081/v1", "ok"),
        ("http://10.0.0.5:6379/", BLOCKED),
        ("http://10.0.0.5:6380/", "ok"),
        ("http://10.0.0.6:6379/", "ok"),
    ] {
        assert_eq!(code(&egress, url), expected, "{url}");
    }
    let door = Door { is_plain: true, port: 6379 };
    assert!(egress.check_address(door, "hooks.example.net", "10.0.0.5".parse().unwrap()).is_err());
}

#[test]
fn this_machine_is_called_only_where_its_own_address_is_listed() {
    assert_eq!(egress(&[]).loopback_notice(), None);
    assert_eq!(egress(&["0.0.0.0/0", "::/0", "localhost"]).loopback_notice(), None);
    assert_eq!(code(&egress(&["localhost", "0.0.0.0/0"]), "http://localhost/in"), BLOCKED);
    for (entry, open, shut) in [
        ("127.0.0.1", "127.0.0.1", "127.0.0.2"),
        ("127.0.0.0/8", "127.9.9.9", "::1"),
        ("127.0.0.0/8", "::ffff:127.0.0.1", "0.0.0.0"),
        ("::1", "::1", "127.0.0.1"),
    ] {
        let egress = egress(&[entry]);
        assert_eq!(code(&egress, &in_url(open)), "ok", "{entry}");
        assert_eq!(code(&egress, &in_url(shut)), BLOCKED, "{entry}");
        assert_eq!(code(&egress, "http://localhost:9000/in"), "ok", "{entry}");
        assert_eq!(code_of(&egress, "localhost", open), "ok", "{entry}");
        let notice = egress.loopback_notice().expect(entry);
        assert!(notice.contains("egress.allow lists") && notice.contains(entry.split('/').next().unwrap()));
    }
}

#[test]
fn a_url_that_can_be_read_in_two_ways_is_refused() {
    let egress = egress(&["0.0.0.0/0", "::/0", "127.0.0.0/8"]);
    for (url, expected) in [
        ("https://hooks.example.net/in?key=1", "ok"),
        ("http://hooks:8080", "ok"),
        ("HTTPS://Hooks.Example.NET/in", "ok"),
        ("http://under_score.example/", "ok"),
        ("", "not-a-url"),
        ("/in", "not-a-url"),
        ("hooks.example.net", "not-a-url"),
        ("https:///in", "not-a-url"),
        ("https://", "not-a-url"),
        ("http://a b/", "not-a-url"),
        ("http://a/\r\nx: y", "not-a-url"),
        ("http://a:0/", "not-a-url"),
        ("http://a:/", "not-a-url"),
        ("http://a:65536/", "not-a-url"),
        ("http://a:8080x/", "not-a-url"),
        ("ftp://a/", "unsupported-scheme"),
        ("file:///etc/passwd", "not-a-url"),
        ("gopher://127.0.0.1/", "unsupported-scheme"),
        ("http://user@a/", "credentials-in-url"),
        ("http://user:secret@a/", "credentials-in-url"),
        ("http://8.8.8.8@127.0.0.1/", "credentials-in-url"),
        ("http://a/#part", "fragment-in-url"),
        ("http://a.example./", "invalid-host"),
        ("http://127.0.0.1./", "invalid-host"),
        ("http://a..b/", "invalid-host"),
        ("http://.a/", "invalid-host"),
        ("http://*.a/", "invalid-host"),
        ("http://2130706433/", "invalid-host"),
        ("http://017700000001/", "invalid-host"),
        ("http://0x7f000001/", "invalid-host"),
        ("http://0x7f.1/", "invalid-host"),
        ("http://127.1/", "invalid-host"),
        ("http://127.0.1/", "invalid-host"),
        ("http://0177.0.0.1/", "invalid-host"),
        ("http://127.0.0.0x1/", "invalid-host"),
        ("http://1.2.3.4.5/", "invalid-host"),
        ("http://256.0.0.1/", "invalid-host"),
        ("http://a.0x/", "invalid-host"),
        ("http://[fe80::1%25eth0]/", "invalid-host"),
        ("http://[::1/", "not-a-url"),
        ("http://[v1.a]/", "invalid-host"),
        ("http://127.0.0.1%2f.a/", "not-a-url"),
        ("http://ⓔxample.net/", "not-a-url"),
        ("http://１２７.0.0.1/", "not-a-url"),
    ] {
        assert_eq!(code(&egress, url), expected, "{url}");
    }
    let long = format!("https://a/{}", "x".repeat(2_048));
    assert_eq!(code(&egress, &long), "url-too-long");
    assert_eq!(code(&egress, &format!("https://{}.net/", "a".repeat(64))), "invalid-host");
    assert_eq!(code(&egress, &format!("https://{}net/", "a.".repeat(126))), "invalid-host");
}

#[test]
fn a_refusal_does_not_repeat_the_query() {
    let secret = "k33p-this-quiet";
    for url in
        ["http://10.0.0.1/in?key=", "http://a b/?key=", "http://user@a/?key=", "http://localhost/?key="]
    {
        let error = egress(&[]).check_url(&format!("{url}{secret}")).unwrap_err();
        assert!(!format!("{error:?}{error}").contains(secret), "{error:?}");
    }
}

#[test]
fn what_is_dialled_is_judged_by_itself_when_it_is_spelt_out() {
    let egress = egress(&["hooks.example.net", "10.0.0.0/8"]);
    assert_eq!(egress.check_literal(SAFE, "hooks.example.net").unwrap(), None);
    assert_eq!(egress.check_literal(SAFE, "10.0.0.1").unwrap(), Some("10.0.0.1".parse().unwrap()));
    assert_eq!(
        egress.check_literal(SAFE, "[::ffff:10.0.0.1]").unwrap(),
        Some("::ffff:10.0.0.1".parse().unwrap())
    );
    assert_eq!(egress.check_literal(SAFE, "8.8.8.8").unwrap_err().code, BLOCKED);
    assert_eq!(egress.check_literal(SAFE, "134744072").unwrap_err().code, "invalid-host");
}

#[test]
fn entries_are_networks_addresses_names_or_domains() {
    for (text, shown) in [
        ("10.0.0.0/8", "10.0.0.0/8"),
        ("10.9.8.7/8", "10.0.0.0/8"),
        ("10.9.8.7", "10.9.8.7/32"),
        ("fd12::/16", "fd12::/16"),
        ("::1", "::1/128"),
        ("0.0.0.0/0", "0.0.0.0/0"),
        ("Hooks.Example.net", "hooks.example.net"),
        ("*.Example.net", "*.example.net"),
        ("receiver", "receiver"),
        ("*", "*"),
        ("*:443", "*:443"),
        ("a.net:8080", "a.net:8080"),
        ("10.0.0.0/8:443", "10.0.0.0/8:443"),
        ("[fd12::/16]:443", "[fd12::/16]:443"),
        ("[::1]", "::1/128"),
    ] {
        assert_eq!(AllowEntry::parse(text).expect(text).to_string(), shown);
    }
    for (text, problem) in [
        ("*.*.net", "is no network"),
        ("a*.net", "is no network"),
        ("https://a.net", "is no network"),
        ("a.net:0", "has a port"),
        ("a.net:65536", "has a port"),
        ("a.net:x", "is no network"),
        ("[::1", "is no network"),
        ("[a.net]x", "is no network"),
        ("10.0.0.0/33", "is no network"),
        ("2130706433", "is no network"),
        ("a.net.", "is no network"),
        ("", "is no network"),
        ("169.254.0.0/16", "is a link-local address, which is never called"),
        ("169.254.169.254", "is a link-local address, which is never called"),
        ("100.100.100.200", "is a cloud's metadata service, which is never called"),
        ("fe80::/64", "is a link-local address, which is never called"),
        ("::ffff:10.0.0.0/104", "is IPv4 in the dress of IPv6"),
    ] {
        let told = AllowEntry::parse(text).unwrap_err();
        assert!(told.starts_with(problem), "{text}: {told}");
    }
}
