//! Addresses of the lists that validators are tested with, read by the rules of RFC 5321 §4.1.2 and RFC 6531 §3.3.
//!
//! The lists contradict each other where RFC 5322 (comments, folding, obsolete forms) allows more than an envelope may hold.

use super::Address;

#[test]
fn what_the_lists_call_valid_for_smtp_is_taken() {
    let label = "abcdefghijklmnopqrstuvwxyz".repeat(3)[..63].to_owned();
    let longest = [format!("{label}a@iana.org"), format!("test@{label}.com"), format!("a@{}.d", [label.as_str(); 3].join("."))];
    let plain = [
        "test@io",
        "test@e.com",
        "test.test@iana.org",
        "very.common@example.com",
        "FirstName.LastName@EasierReading.org",
        "long.email-address-with-hyphens@and.subdomains.example.com",
        "user.name+tag+sorting@example.com",
        "customer/department=shipping@example.com",
        "$A12345@example.com",
        "!def!xyz%abc@example.com",
        "!#$%&'*+-/=?^_`{|}~@iana.org",
        "o'brien@example.com",
        "_somename@example.com",
        "user-@example.org",
        "123@123.com",
        "test@iana.123",
        "test@255.255.255.255",
        "test@c--n.com",
        "xn--test@iana.org",
        "test@xn--hxajbheg2az3al.xn--jxalpdlp",
    ];
    let quoted = [
        "\"\"@iana.org",
        "\" \"@example.org",
        "\"\\a\"@iana.org",
        "\"\\\"\"@iana.org",
        "\"\\\\\"@iana.org",
        "\"test\\ test\"@iana.org",
        "\"john..doe\"@example.org",
        "\"Abc@def\"@example.com",
        "\"Abc\\@def\"@example.com",
        "\"Fred Bloggs\"@example.com",
        "\"Joe\\\\Blow\"@example.com",
        "\"very.(),:;<>[]\\\".VERY.\\\"very@\\\\ \\\"very\\\".unusual\"@strange.example.com",
    ];
    let literals = [
        "u@[0.0.0.0]",
        "u@[255.255.255.255]",
        "u@[IPv6:::]",
        "u@[IPv6:::1]",
        "u@[IPv6:fe80::1]",
        "u@[IPv6:2001:0db8:85a3:0000:0000:8a2e:0370:7334]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:7777:8888]",
        "u@[IPv6:1111:2222:3333:4444:5555::8888]",
        // The "::" of RFC 5321 stands for two groups or more, that of RFC 4291 for one or more.
        "u@[IPv6:1111:2222:3333:4444:5555:6666::8888]",
        "u@[IPv6:::3333:4444:5555:6666:7777:8888]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:255.255.255.255]",
        "u@[IPv6:1111:2222:3333:4444::255.255.255.255]",
    ];
    let ascii = plain.iter().chain(&quoted).chain(&literals).copied().chain(longest.iter().map(String::as_str));
    for text in ascii {
        let address = Address::parse(text, false).unwrap_or_else(|error| panic!("{text}: {error:?}"));
        assert_eq!(address.as_str(), text);
    }
    for text in [
        "Pelé@example.com",
        "δοκιμή@παράδειγμα.δοκιμή",
        "我買@屋企.香港",
        "二ノ宮@黒川.日本",
        "медведь@с-балалайкой.рф",
        "संपर्क@डाटामेल.भारत",
        "\"pří lišžlu ťoučkýkůň\"@přílišžluťoučkýkůň.cz",
        "I❤CHOCOLATE@example.com",
        "عربي@مثال.إختبار",
    ] {
        assert!(Address::parse(text, true).is_ok(), "{text}");
    }
}

#[test]
fn what_no_envelope_may_hold_is_refused() {
    let label = "a".repeat(64);
    let long = [format!("test@{label}.com"), format!("a@{}.d", ["a".repeat(63).as_str(); 4].join("."))];
    let shapes = [
        "test",
        "abc.example.com",
        "a@b@c@example.com",
        "test\\@test@iana.org",
        "Fred\\ Bloggs@example.com",
        "a\"b(c)d,e:f;g<h>i[j\\k]l@example.com",
        "just\"not\"right@example.com",
        "this is\"not\\allowed@example.com",
        "this\\ still\\\"not\\\\allowed@example.com",
        "i.like.underscores@but_they_are_not_allowed_in_this_part",
        "foo@example.com+bob@attacker.com",
        "user@example.com#",
        "email@example.com (Joe Smith)",
        "Joe Smith <email@example.com>",
        "test@iana.org-",
        "test@iana/icann.org",
        "test@exa$mple.com",
        "test@.org",
        " test@iana.org",
        "test@iana.org ",
        "test . test@iana.org",
    ];
    let quoting = [
        "\"\"\"@iana.org",
        "\"\\\"@iana.org",
        "\"test\"test@iana.org",
        "test\"text\"@iana.org",
        "\"test\"\"test\"@iana.org",
        // Of RFC 5322's obsolete local parts.
        "\"test\".\"test\"@iana.org",
        "\"test\".test@iana.org",
        "much.\"more\\ unusual\"@example.com",
        "\"te\tst\"@iana.org",
        "\"\\\u{7}\"@iana.org",
    ];
    let comments = [
        "(comment)test@iana.org",
        "((comment)test@iana.org",
        "test(comment)@iana.org",
        "test@(comment)iana.org",
        "test@(comment)[255.255.255.255]",
        "test@iana.org(comment\\)",
        "\r\n test@iana.org",
    ];
    let literals = [
        "u@a[255.255.255.255]",
        "u@[255.255.255]",
        "u@[255.255.255.255.255]",
        "u@[255.255.255.256]",
        "u@[ 1.2.3.4]",
        "u@[1.2.3.4.]",
        "u@[1.2.3.4",
        "u@[1111:2222:3333:4444:5555:6666:7777:8888]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:7777]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:7777:8888:9999]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:7777:888G]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666::7777:8888]",
        "u@[IPv6::1]",
        "u@[IPv6::3333:4444:5555:6666:7777:8888]",
        "u@[IPv6:1111::4444:5555::8888]",
        "u@[IPv6:1111:2222:3333:4444:5555:255.255.255.255]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666:7777:255.255.255.255]",
        "u@[IPv6:1111:2222:3333:4444:5555:6666::255.255.255.255]",
        "u@[IPv6:1111:2222:3333:4444:::255.255.255.255]",
        "u@[IPv6::255.255.255.255]",
        "u@[IPv6:1::2:]",
        "u@[IPv6:fe80::1%25lo]",
        "u@[RFC-5322-domain-literal]",
        "u@[RFC-5322]-domain-literal]",
        "u@[RFC-5322-\\]-domain-literal]",
    ];
    let all = shapes.iter().chain(&quoting).chain(&comments).chain(&literals).copied().chain(long.iter().map(String::as_str));
    for text in all {
        assert!(Address::parse(text, true).is_err(), "{text:?}");
    }
}
