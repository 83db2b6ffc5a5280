use aws_lc_rs::hmac;

use super::*;

const DAY: u64 = 19_683;

fn macs_of(keys: &[&str]) -> impl Fn(&[u8]) -> Vec<[u8; 20]> {
    let keys: Vec<_> = keys.iter().map(|key| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, key.as_bytes())).collect();
    move |octets| keys.iter().map(|key| hmac::sign(key, octets).as_ref().try_into().unwrap()).collect()
}

fn address_of(text: &str) -> Address {
    Address::parse(text, true).unwrap()
}

/// What Mail::SRS 0.31 makes on that day with this key first, `HashLength => 6` and `AlwaysRewrite => 1`.
const MAIL_SRS: &[(&str, &str)] = &[
    ("alice@example.org", "SRS0=uuQ6uj=HD=example.org=alice@srs.acme.example"),
    ("Bob.Smith@Mixed.Example", "SRS0=u83FE7=HD=Mixed.Example=Bob.Smith@srs.acme.example"),
    ("bounce+a=b=c@lists.example.org", "SRS0=1GJKq6=HD=lists.example.org=bounce+a=b=c@srs.acme.example"),
    ("SRS0=abcd=TT=example.org=alice@first.example", "SRS1=z6pKlw=first.example==abcd=TT=example.org=alice@srs.acme.example"),
    ("srs0+abcdef=TT=example.org=alice@first.example", "SRS1=p4Sd9l=first.example=+abcdef=TT=example.org=alice@srs.acme.example"),
    (
        "SRS1=abcd=first.example==abcdef=TT=example.org=alice@second.example",
        "SRS1=eecPkW=first.example==abcdef=TT=example.org=alice@srs.acme.example",
    ),
    (
        "SRS1=abcd=first.example=+abcdef=TT=example.org=alice@second.example",
        "SRS1=p4Sd9l=first.example=+abcdef=TT=example.org=alice@srs.acme.example",
    ),
    ("SRS1plain@example.org", "SRS0=G1j3fn=HD=example.org=SRS1plain@srs.acme.example"),
];

#[test]
fn addresses_are_those_of_another_implementation() {
    let macs = macs_of(&["a key of many octets", "the key before it"]);
    let srs = Srs { domain: "srs.acme.example", macs: &macs };
    for (sender, ours) in MAIL_SRS {
        assert_eq!(srs.forward(&address_of(sender), DAY), Rewritten::As(address_of(ours)), "{sender}");
    }
}

#[test]
fn the_way_back_leads_to_the_sender_or_to_the_first_gateway() {
    let macs = macs_of(&["a key of many octets"]);
    let srs = Srs { domain: "srs.acme.example", macs: &macs };
    for (sender, back) in [
        ("alice@example.org", "alice@example.org"),
        ("a=b=c@example.org", "a=b=c@example.org"),
        ("\"two words\"@example.org", "\"two words\"@example.org"),
        ("\"a\\\"b\"@example.org", "\"a\\\"b\"@example.org"),
        ("alice@[192.0.2.1]", "alice@[192.0.2.1]"),
        ("bücher@grün.example", "bücher@grün.example"),
        ("SRS0=abcd=TT=example.org=alice@first.example", "SRS0=abcd=TT=example.org=alice@first.example"),
        ("srs0+abcd=TT=example.org=alice@first.example", "SRS0+abcd=TT=example.org=alice@first.example"),
        ("SRS1=abcd=first.example==xyz=TT=example.org=alice@second.example", "SRS0=xyz=TT=example.org=alice@first.example"),
        // Not what it claims to be: an address like any other.
        ("SRS1=abcd@example.org", "SRS1=abcd@example.org"),
    ] {
        let Rewritten::As(ours) = srs.forward(&address_of(sender), DAY) else { panic!("{sender} was not rewritten") };
        assert!(is_srs(&ours, "SRS.acme.example"), "{ours}");
        assert_eq!(srs.reverse(&ours, DAY), Ok(address_of(back)), "{ours}");
        // There are mail servers that change the case of addresses.
        let Ok(shouted) = Address::parse(&ours.as_str().to_ascii_uppercase(), true) else { panic!("{ours}") };
        let returned = srs.reverse(&shouted, DAY).unwrap();
        assert!(returned.as_str().eq_ignore_ascii_case(back), "{returned}");
    }
}

#[test]
fn what_no_key_of_ours_made_leads_nowhere() {
    let macs = macs_of(&["a key of many octets"]);
    let srs = Srs { domain: "srs.acme.example", macs: &macs };
    let (Rewritten::As(zero), Rewritten::As(one)) =
        (srs.forward(&address_of("alice@example.org"), DAY), srs.forward(&address_of("SRS0=a=b=c.example=d@first.example"), DAY))
    else {
        panic!("not rewritten")
    };
    for ours in [zero, one] {
        let ours = ours.as_str();
        let local_end = ours.find('@').unwrap();
        for at in 5..local_end {
            // Each character of what was made, changed.
            let mut changed = ours.as_bytes().to_vec();
            changed[at] = if changed[at] == b'x' || changed[at] == b'X' { b'y' } else { b'x' };
            let Ok(changed) = Address::parse(std::str::from_utf8(&changed).unwrap(), false) else { continue };
            assert_eq!(srs.reverse(&changed, DAY), Err(SrsError::Forged), "{changed}");
            let cut = format!("{}@srs.acme.example", &ours[..at]);
            if let Ok(cut) = Address::parse(&cut, false) {
                assert_eq!(srs.reverse(&cut, DAY), Err(SrsError::Forged), "{cut}");
            }
        }
    }
    for forged in
        ["SRS0=uuQ6uj=HD=example.org=bob@srs.acme.example", "SRS0=@srs.acme.example", "SRS0==HD=example.org=alice@srs.acme.example"]
    {
        assert_eq!(srs.reverse(&address_of(forged), DAY), Err(SrsError::Forged), "{forged}");
    }
    let others = macs_of(&["a key of somebody else"]);
    let Rewritten::As(theirs) = (Srs { domain: "srs.acme.example", macs: &others }).forward(&address_of("alice@example.org"), DAY) else {
        panic!("not rewritten")
    };
    assert_eq!(srs.reverse(&theirs, DAY), Err(SrsError::Forged));
}

#[test]
fn addresses_of_an_older_key_are_good_and_those_of_another_time_are_not() {
    let (old, both) = (macs_of(&["an old key, in use until today"]), macs_of(&["a key of many octets", "an old key, in use until today"]));
    let sender = address_of("alice@example.org");
    let new = Srs { domain: "srs.acme.example", macs: &both };
    for made in [DAY, 1023, 1024, 1030] {
        let Rewritten::As(ours) = (Srs { domain: "srs.acme.example", macs: &old }).forward(&sender, made) else { panic!("not rewritten") };
        for (days, expected) in [(0, Ok(sender.clone())), (SRS_DAYS_MAX, Ok(sender.clone())), (SRS_DAYS_MAX + 1, Err(SrsError::Expired))] {
            assert_eq!(new.reverse(&ours, made + days), expected, "made on {made}, {days} days later");
        }
        // From the future: its maker's clock, or ours, is wrong.
        assert_eq!(new.reverse(&ours, made - 1), Err(SrsError::Expired));
    }
}

#[test]
fn what_does_not_fit_or_is_ours_stays_as_it_is() {
    let macs = macs_of(&["a key of many octets"]);
    let srs = Srs { domain: "srs.acme.example", macs: &macs };
    let long = format!("{}@example.org", "a".repeat(120));
    assert_eq!(srs.forward(&address_of(&long), DAY), Rewritten::TooLong);
    assert_eq!(srs.forward(&address_of("SRS0=x=y=z=a@SRS.acme.example"), DAY), Rewritten::IsOurs);
    assert!(!is_srs(&address_of("SRS0=x=y=z=a@acme.example"), "srs.acme.example"));
    assert!(!is_srs(&address_of("postmaster@srs.acme.example"), "srs.acme.example"));
    assert!(!is_srs(&address_of("SRS0x@srs.acme.example"), "srs.acme.example"));
}
