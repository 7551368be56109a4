//! What one call takes out of librdkafka.
