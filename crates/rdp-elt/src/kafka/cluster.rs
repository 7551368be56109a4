//! What a cluster says of itself.

/// A view of a cluster.
pub struct Cluster {}
/// A topic.
pub struct TopicInfo {}
/// Ends.
pub struct Watermarks {}
