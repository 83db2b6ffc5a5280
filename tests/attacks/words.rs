//! What a next hop says is told on to the client: its words stay words.

use crate::harness::{Answer, At, Client, Deployment, Sink, mail};
use crate::{ALICE, BOB};

#[test]
fn the_words_of_a_next_hop_stay_within_one_reply() {
    let long = "x".repeat(5000);
    for words in [
        "plain",
        "\u{fc}ml\u{e4}ut \u{1f600}",
        "a\u{1b}[2Jb\u{9b}31m",
        "a\u{2028}250 2.0.0 Ok\u{85}b\u{202e}",
        "a\r250 2.0.0 Ok",
        "a\0b\u{8}\u{7f}",
        "more\r\n550-5.7.1 lines\r\n550 5.7.1 than one",
        &long,
    ] {
        for (code, accepted) in [("550-5.7.1", false), ("250-2.0.0", true)] {
            let last = code.replace('-', " ");
            let words = words.replace("550-5.7.1", code).replace("550 5.7.1", &last);
            let begin = if words.contains("\r\n") { code } else { &last };
            let answer = Answer::Say(format!("{begin} {words}"));
            let sink = Sink::start(move |at| if matches!(at, At::Dot(_)) { answer.clone() } else { Answer::Ok });
            let gateway = Deployment::new("inline").relay("next", sink.address()).start();
            let mut client = Client::hello(gateway.address());
            for command in [format!("MAIL FROM:<{ALICE}>"), format!("RCPT TO:<{BOB}>")] {
                client.command(&command).expect("250 ");
            }
            client.command("DATA").expect("354 ");
            client.write(&crate::harness::client::stuffed(&mail::small("words")));
            client.write(b"QUIT\r\n");
            let rest = client.rest();
            let (last, reply) = rest.trim_end().rsplit_once("\r\n").map(|(reply, last)| (last, reply)).expect("two replies");
            assert_eq!(last, "221 2.0.0 Bye");
            let class = if accepted { "250" } else { "550" };
            for line in reply.split("\r\n") {
                assert!(line.starts_with(class) && line.len() <= 510, "{words:?}: {line:?}");
                assert!(line.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{words:?}: {line:?}");
            }
        }
    }
}
