//! A broker with a filled topic, to try things by hand: `cargo run --release --example kafka -- [RECORDS [PARTITIONS]]`.
//!
//! Prints the broker's address and the topic's name, and runs until it is interrupted.

use rdp_testing::{KafkaServer, orders};

fn main() {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>().expect("a number"));
    let records = numbers.next().unwrap_or(10_000);
    let partitions = i32::try_from(numbers.next().unwrap_or(6)).expect("a number of partitions");

    let broker = KafkaServer::start();
    let topic = broker.create_topic("orders", partitions);
    topic.produce_with(&[("compression.codec", "lz4")], orders(1, records));
    println!("{} {}", broker.brokers(), topic.name());
    loop {
        std::thread::park();
    }
}
