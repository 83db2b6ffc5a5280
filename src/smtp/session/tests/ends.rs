//! Sessions that end by time, or by a drain.

use super::*;

#[test]
fn silence_ends_the_session_and_drops_of_a_line_do_not_prolong_it() {
    let idle_timeout = Duration::from_secs(10);
    let mut driver = Driver::new(SessionConfig { idle_timeout, ..config() });
    driver.run();
    let deadline = driver.session.deadline();
    assert_eq!(deadline, driver.now + idle_timeout);
    driver.now += Duration::from_secs(9);
    driver.send(b"NO");
    assert_eq!(driver.session.deadline(), deadline);
    driver.send(b"OP\r\n");
    assert_eq!(driver.session.deadline(), driver.now + idle_timeout);
    driver.now += idle_timeout;
    driver.run();
    assert_eq!(driver.take_lines(), ["220 mx.example ESMTP", "250 2.0.0 Ok", "421 4.4.2 Timeout"]);
    assert!(driver.closed);
}

#[test]
fn the_clock_does_not_run_while_the_driver_works() {
    let mut driver = Driver::new(SessionConfig { idle_timeout: Duration::from_secs(10), ..config() });
    driver.run();
    driver.session.input().extend_from_slice(b"HELO c\r\n");
    assert!(matches!(driver.session.poll(driver.now), Event::Helo { .. }));
    driver.now += Duration::from_secs(60);
    driver.session.answer(Ok(()));
    driver.run();
    assert!(!driver.closed);
    assert_eq!(driver.session.deadline(), driver.now + Duration::from_secs(10));
}

#[test]
fn a_message_that_trickles_in_ends_with_the_session_timeout() {
    let session_timeout = Duration::from_secs(100);
    let mut driver = Driver::new(SessionConfig { idle_timeout: Duration::from_secs(10), session_timeout, ..config() });
    driver.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    let mut pieces = 0;
    while !driver.closed {
        driver.now += Duration::from_secs(9);
        driver.send(b"x");
        pieces += 1;
    }
    assert_eq!(pieces, 12);
    assert_eq!(driver.take_lines().last().map(String::as_str), Some("421 4.4.2 Session too long; connect again"));
}

#[test]
fn an_old_session_ends_at_a_command_boundary() {
    let mut driver = Driver::new(SessionConfig { session_timeout: Duration::from_secs(100), ..config() });
    driver.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\n");
    driver.now += Duration::from_secs(99);
    driver.send(b"x");
    driver.now += Duration::from_secs(1);
    driver.session.input().extend_from_slice(b"\r\n.\r\nNOOP\r\n");
    driver.run();
    let lines = driver.take_lines();
    assert_eq!(&lines[lines.len() - 2..], ["250 2.0.0 Taken", "421 4.4.2 Session too long; connect again"]);
}

#[test]
fn shutting_down_waits_for_the_message_that_is_under_way() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\nDATA\r\nx\r\n");
    driver.session.shut_down();
    driver.send(b"y\r\n.\r\nNOOP\r\n");
    let lines = driver.take_lines();
    assert_eq!(&lines[lines.len() - 2..], ["250 2.0.0 Taken", "421 4.3.2 Shutting down; connect again"]);
    let mut idle = Driver::new(config());
    idle.session.shut_down();
    idle.run();
    assert_eq!(idle.take_lines(), ["220 mx.example ESMTP", "421 4.3.2 Shutting down; connect again"]);
}

#[test]
fn shutting_down_before_the_354_does_not_ask_for_the_data() {
    let mut driver = Driver::new(config());
    driver.send(b"HELO c\r\nMAIL FROM:<>\r\nRCPT TO:<b@y>\r\n");
    driver.take_lines();
    driver.session.input().extend_from_slice(b"DATA\r\n");
    assert!(matches!(driver.session.poll(driver.now), Event::Data));
    driver.session.shut_down();
    driver.session.answer(Ok(()));
    driver.run();
    assert_eq!(driver.take_lines(), ["421 4.3.2 Shutting down; connect again"]);
}
