//! The one safe wrapper over librdkafka's consumer: batch calls, assignment, seeks. Every `unsafe` of the consumer is here
//! or in [`super::slice`].
//!
//! rdkafka's own consumers take rebalances as events; batch calls beside them get an empty assignment in group mode, for
//! ever. So the client is made by hand, with a rebalance callback of our own. The callback only notes what the group
//! wants: it runs inside the batch call, and the answer is given right after that call returns, when no record of an
//! older assignment can be taken for one of the new.

use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::error::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as native;

use super::error;
use super::fetcher::{Fetcher, Notes, Place, Rebalance, Told};
use super::foreign::millis;
use super::secrets::told;
use super::slice::Message;
use crate::error::{Error, Result};
use crate::offset::{Positions, TopicPartition};

pub(crate) struct NativeConsumer {
    queue: NonNull<native::rd_kafka_queue_t>,
    client: Client<Context>,
}

// SAFETY: librdkafka's handles may be used from any thread; the queue is only ever read through `&mut self`.
unsafe impl Send for NativeConsumer {}

impl NativeConsumer {
    pub(crate) fn open(config: &ClientConfig) -> Result<Self> {
        let doing = "open a Kafka consumer";
        let native_config = config.create_native_config().map_err(|cause| error::from_kafka(doing, cause))?;
        // SAFETY: the configuration is alive, and the callbacks have the signatures that librdkafka documents. Their
        // opaque pointer is the `Context` that `Client::new` sets, which the client keeps alive until it is destroyed.
        unsafe {
            native::rd_kafka_conf_set_rebalance_cb(native_config.ptr(), Some(note_rebalance));
            native::rd_kafka_conf_set_error_cb(native_config.ptr(), Some(note_error));
            native::rd_kafka_conf_set_log_cb(native_config.ptr(), Some(forward_log));
        }
        let client = Client::new(config, native_config, native::rd_kafka_type_t::RD_KAFKA_CONSUMER, Context::default())
            .map_err(|cause| error::from_kafka(doing, cause))?;
        // SAFETY: the client is alive; the queue handle is given back in `drop`, before the client.
        let queue = unsafe {
            native::rd_kafka_poll_set_consumer(client.native_ptr());
            NonNull::new(native::rd_kafka_queue_get_consumer(client.native_ptr()))
        };
        match queue {
            Some(queue) => Ok(NativeConsumer { queue, client }),
            None => Err(Error::config("open a Kafka consumer: librdkafka gives no consumer queue without a group id")),
        }
    }
}

impl Fetcher for NativeConsumer {
    type Message = Message;

    fn subscribe(&self, topics: &[String]) -> Result<()> {
        let mut list = TopicPartitionList::new();
        for topic in topics {
            list.add_topic_unassigned(topic);
        }
        // SAFETY: client and list are alive for the call.
        let code = unsafe { native::rd_kafka_subscribe(self.client.native_ptr(), list.ptr()) };
        check(code, || format!("subscribe to {}", topics.join(", ")))
    }

    fn consume_batch(&mut self, into: &mut Vec<Message>, max: usize, timeout: Duration) -> usize {
        into.reserve(max);
        let spare = into.spare_capacity_mut();
        // SAFETY: `Message` is a transparent wrapper of a non-null message pointer, so the spare capacity of `into` is
        // an array of such pointers with room for `max` of them; librdkafka writes `taken` valid ones from its start and
        // hands their ownership over.
        unsafe {
            let taken = native::rd_kafka_consume_batch_queue(
                self.queue.as_ptr(),
                millis(timeout),
                spare.as_mut_ptr().cast::<*mut native::rd_kafka_message_t>(),
                max,
            );
            let taken = usize::try_from(taken).unwrap_or(0);
            into.set_len(into.len() + taken);
            taken
        }
    }

    fn next_rebalance(&self) -> Option<Rebalance> {
        self.client.context().rebalances().pop_front()
    }

    fn is_rebalancing(&self) -> bool {
        lock(&self.client.context().unanswered).is_some()
    }

    fn take_trouble(&self) -> Option<Error> {
        lock(&self.client.context().trouble).take()
    }

    fn fatal_error(&self) -> Option<Error> {
        fatal_error(self.client.native_ptr())
    }

    fn assign(&self, positions: &Positions, incremental: bool) -> Result<()> {
        take(self.client.native_ptr(), positions, incremental)?;
        lock(&self.client.context().unanswered).take();
        Ok(())
    }

    fn unassign(&self, partitions: &[TopicPartition], incremental: bool) -> Result<()> {
        give_back(self.client.native_ptr(), partitions, incremental)?;
        lock(&self.client.context().unanswered).take();
        Ok(())
    }

    fn is_incremental(&self) -> bool {
        // SAFETY: the client is alive.
        unsafe { speaks_incremental(self.client.native_ptr()) }
    }

    fn seek(&self, places: &[(TopicPartition, Place)], timeout: Duration) -> Result<()> {
        let deadline = Instant::now() + timeout;
        let mut open: BTreeMap<&TopicPartition, Place> = places.iter().map(|(of, place)| (of, *place)).collect();
        while !open.is_empty() {
            let list = list_of_places(&open)?;
            // SAFETY: client and list are alive for the call; the outcome of each partition is written into the list.
            let failed =
                unsafe { native::rd_kafka_seek_partitions(self.client.native_ptr(), list.ptr(), millis(timeout)) };
            check_object(failed, || format!("seek {} partitions", open.len()))?;
            for element in list.elements() {
                let Err(cause) = element.error() else {
                    open.remove(&TopicPartition::new(element.topic(), element.partition()));
                    continue;
                };
                // A partition that was assigned a moment ago cannot be sought before its fetcher has begun.
                let settling = matches!(
                    cause.rdkafka_error_code(),
                    Some(RDKafkaErrorCode::State | RDKafkaErrorCode::PreviousInProgress | RDKafkaErrorCode::InProgress)
                );
                let doing = || format!("seek {}[{}]", element.topic(), element.partition());
                if !settling {
                    return Err(error::from_kafka(&doing(), cause));
                }
                if Instant::now() > deadline {
                    return Err(Error::unavailable(format!("{}: its fetcher does not begin", doing())));
                }
            }
            if !open.is_empty() {
                std::thread::sleep(Duration::from_millis(5));
            }
        }
        Ok(())
    }

    fn set_paused<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>, paused: bool) -> Result<()> {
        let list = list_of(partitions.map(|partition| (partition, -1001)))?;
        if list.count() == 0 {
            return Ok(());
        }
        // SAFETY: client and list are alive for the call.
        let code = unsafe {
            match paused {
                true => native::rd_kafka_pause_partitions(self.client.native_ptr(), list.ptr()),
                false => native::rd_kafka_resume_partitions(self.client.native_ptr(), list.ptr()),
            }
        };
        check(code, || "pause or resume partitions".to_owned())
    }

    fn commit(&self, positions: &Positions, notes: &Notes, wait: bool) -> Result<()> {
        let list = list_of(positions.iter())?;
        for (topic, note) in notes {
            for mut element in list.elements_for_topic(topic) {
                element.set_metadata(note);
            }
        }
        // SAFETY: client and list are alive for the call.
        let code = unsafe { native::rd_kafka_commit(self.client.native_ptr(), list.ptr(), c_int::from(!wait)) };
        check(code, || "commit positions to the group".to_owned())
    }

    fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<BTreeMap<TopicPartition, Told>> {
        let list = list_of(partitions.iter().map(|partition| (partition, -1001)))?;
        // SAFETY: client and list are alive for the call; the offsets are written into the list.
        let code = unsafe { native::rd_kafka_committed(self.client.native_ptr(), list.ptr(), millis(timeout)) };
        check(code, || "read the group's committed offsets".to_owned())?;
        let known = list.elements().into_iter().filter_map(|element| match element.offset() {
            Offset::Offset(position) => {
                let note = element.metadata().to_owned();
                Some((TopicPartition::new(element.topic(), element.partition()), Told { position, note }))
            }
            _ => None,
        });
        Ok(known.collect())
    }
}

impl Drop for NativeConsumer {
    fn drop(&mut self) {
        let context = self.client.context();
        context.closing.store(true, Ordering::SeqCst);
        // Closing would wait for ever for the answer to a rebalance that nobody will give any more.
        if let Some(rebalance) = lock(&context.unanswered).take() {
            refuse(rebalance, self.client.native_ptr());
        }
        // SAFETY: the client is alive; closing serves the last rebalance through our callback, then the queue handle is
        // given back exactly once.
        unsafe {
            native::rd_kafka_consumer_close(self.client.native_ptr());
            native::rd_kafka_queue_destroy(self.queue.as_ptr());
        }
    }
}

/// What the callbacks leave for the thread that polls.
#[derive(Default)]
struct Context {
    rebalances: Mutex<VecDeque<Rebalance>>,
    /// The newest rebalance, until it is answered by an assignment.
    unanswered: Mutex<Option<Rebalance>>,
    trouble: Mutex<Option<Error>>,
    closing: AtomicBool,
}

impl Context {
    fn rebalances(&self) -> MutexGuard<'_, VecDeque<Rebalance>> {
        lock(&self.rebalances)
    }
}

impl ClientContext for Context {}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

unsafe extern "C" fn note_rebalance(
    client: *mut native::rd_kafka_t,
    code: native::rd_kafka_resp_err_t,
    partitions: *mut native::rd_kafka_topic_partition_list_t,
    opaque: *mut c_void,
) {
    // SAFETY: librdkafka passes the opaque pointer of the configuration, which is the client's living `Context`, and a
    // list that is valid during the callback.
    let (context, partitions) = unsafe { (&*opaque.cast::<Context>(), partitions_of(partitions)) };
    let rebalance = if code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
        Rebalance::Assign(partitions)
    } else {
        // SAFETY: the client is the one that calls us.
        let lost = unsafe { native::rd_kafka_assignment_lost(client) } != 0;
        Rebalance::Revoke { partitions, lost }
    };
    if context.closing.load(Ordering::SeqCst) {
        refuse(rebalance, client);
        return;
    }
    *lock(&context.unanswered) = Some(rebalance.clone());
    context.rebalances().push_back(rebalance);
}

unsafe extern "C" fn note_error(
    client: *mut native::rd_kafka_t,
    code: c_int,
    reason: *const c_char,
    opaque: *mut c_void,
) {
    // SAFETY: as in `note_rebalance`; the reason is a C string that is valid during the callback.
    let (context, reason) = unsafe { (&*opaque.cast::<Context>(), CStr::from_ptr(reason).to_string_lossy()) };
    let is_fatal = code == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__FATAL as c_int;
    let fatal = is_fatal.then(|| fatal_error(client)).flatten();
    let trouble = fatal.unwrap_or_else(|| error::from_code(TALKING, code_of(code), Some(&reason)));
    *lock(&context.trouble) = Some(trouble);
}

/// `ERR__FATAL` says that the client is of no use any more; why, it says here.
fn fatal_error(client: *mut native::rd_kafka_t) -> Option<Error> {
    let mut text = [0 as c_char; 512];
    // SAFETY: the client is alive, and the buffer outlives the call, which writes a terminated string of at most its length.
    let (code, reason) = unsafe {
        let code = native::rd_kafka_fatal_error(client, text.as_mut_ptr(), text.len());
        (code, CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned())
    };
    let is_any = code != native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;
    is_any.then(|| match code {
        // The client and its broker have lost each other's thread. Another client begins anew.
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_INVALID_REQUEST => {
            Error::unavailable(format!("{TALKING}: this client can go on no more: {reason}"))
        }
        code => error::from_code(TALKING, code.into(), Some(&reason)),
    })
}

unsafe extern "C" fn forward_log(
    _client: *const native::rd_kafka_t,
    level: c_int,
    facility: *const c_char,
    line: *const c_char,
) {
    // SAFETY: both are C strings that are valid during the callback.
    let (facility, line) =
        unsafe { (CStr::from_ptr(facility).to_string_lossy(), CStr::from_ptr(line).to_string_lossy()) };
    let line = told(&line);
    match level {
        0..=3 => tracing::warn!(target: "librdkafka", %facility, "{line}"),
        4..=5 => tracing::info!(target: "librdkafka", %facility, "{line}"),
        _ => tracing::debug!(target: "librdkafka", %facility, "{line}"),
    }
}

/// Answers a rebalance for a consumer that is about to close: nothing is taken, what is asked for is given back. Closing
/// would wait for the answer for ever.
fn refuse(rebalance: Rebalance, client: *mut native::rd_kafka_t) {
    // SAFETY: only called by the living client's owner and from its own callback.
    let incremental = unsafe { speaks_incremental(client) };
    let refused = match rebalance {
        // Only an assignment answers an assignment, even if it is an empty one.
        Rebalance::Assign(_) => take(client, &Positions::new(), incremental),
        Rebalance::Revoke { partitions, .. } => give_back(client, &partitions, incremental),
    };
    if let Err(failed) = refused {
        tracing::warn!(error = ?failed, "a rebalance was not answered while closing");
    }
}

/// # Safety
/// `client` is a living consumer.
unsafe fn speaks_incremental(client: *mut native::rd_kafka_t) -> bool {
    // SAFETY: by the caller's promise; the answer is a static C string or null.
    unsafe {
        let protocol = native::rd_kafka_rebalance_protocol(client);
        !protocol.is_null() && CStr::from_ptr(protocol).to_bytes() == b"COOPERATIVE"
    }
}

fn take(client: *mut native::rd_kafka_t, positions: &Positions, incremental: bool) -> Result<()> {
    let list = list_of(positions.iter())?;
    if incremental {
        // SAFETY: client and list are alive for the call.
        let failed = unsafe { native::rd_kafka_incremental_assign(client, list.ptr()) };
        return check_object(failed, || "assign partitions".to_owned());
    }
    // SAFETY: client and list are alive for the call.
    let code = unsafe { native::rd_kafka_assign(client, list.ptr()) };
    check(code, || "assign partitions".to_owned())
}

fn give_back(client: *mut native::rd_kafka_t, partitions: &[TopicPartition], incremental: bool) -> Result<()> {
    if incremental {
        let list = list_of(partitions.iter().map(|partition| (partition, -1001)))?;
        // SAFETY: client and list are alive for the call.
        let failed = unsafe { native::rd_kafka_incremental_unassign(client, list.ptr()) };
        return check_object(failed, || "give partitions back".to_owned());
    }
    // SAFETY: the client is alive; a null list means no partition.
    let code = unsafe { native::rd_kafka_assign(client, std::ptr::null()) };
    check(code, || "give partitions back".to_owned())
}

/// # Safety
/// `list` is null or a valid list.
unsafe fn partitions_of(list: *const native::rd_kafka_topic_partition_list_t) -> Vec<TopicPartition> {
    if list.is_null() {
        return Vec::new();
    }
    // SAFETY: by the caller's promise the list has `cnt` elements with C strings for names.
    unsafe {
        let count = usize::try_from((*list).cnt).unwrap_or(0);
        (0..count)
            .map(|place| {
                let element = &*(*list).elems.add(place);
                TopicPartition::new(CStr::from_ptr(element.topic).to_string_lossy(), element.partition)
            })
            .collect()
    }
}

fn check(code: native::rd_kafka_resp_err_t, doing: impl FnOnce() -> String) -> Result<()> {
    match code {
        native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => Ok(()),
        code => Err(error::from_code(&doing(), code.into(), None)),
    }
}

/// The error object of a call that returns one, or null. The object is given back here.
fn check_object(failed: *mut native::rd_kafka_error_t, doing: impl FnOnce() -> String) -> Result<()> {
    if failed.is_null() {
        return Ok(());
    }
    // SAFETY: the object is ours, its text is a C string that lives as long, and it is destroyed once.
    unsafe {
        let code = native::rd_kafka_error_code(failed);
        let reason = CStr::from_ptr(native::rd_kafka_error_string(failed)).to_string_lossy().into_owned();
        native::rd_kafka_error_destroy(failed);
        Err(error::from_code(&doing(), code.into(), Some(&reason)))
    }
}

const TALKING: &str = "talk to the Kafka cluster";

fn code_of(code: c_int) -> RDKafkaErrorCode {
    native::rd_kafka_resp_err_t::try_from(code).map_or(RDKafkaErrorCode::Unknown, RDKafkaErrorCode::from)
}

/// Reading begins at the newest known record, where there is one, so that it shows once more. librdkafka checks the epoch at
/// the place that it is told.
fn list_of_places(places: &BTreeMap<&TopicPartition, Place>) -> Result<TopicPartitionList> {
    let position = |place: &Place| place.newest.map_or(place.position, |newest| newest.offset);
    let list = list_of(places.iter().map(|(partition, place)| (*partition, position(place))))?;
    for (element, place) in (0_i32..).zip(places.values()) {
        let Some(leader_epoch) = place.newest.and_then(|newest| newest.leader_epoch) else { continue };
        // SAFETY: the list has as many elements as there are places, in their order, and is ours alone.
        unsafe {
            let element = (*list.ptr()).elems.offset(element as isize);
            native::rd_kafka_topic_partition_set_leader_epoch(element, leader_epoch);
        }
    }
    Ok(list)
}

fn list_of<'a>(positions: impl Iterator<Item = (&'a TopicPartition, i64)>) -> Result<TopicPartitionList> {
    let mut list = TopicPartitionList::new();
    for (partition, position) in positions {
        // A NUL in a topic's name would cut it short inside librdkafka.
        if CString::new(&*partition.topic).is_err() {
            return Err(Error::config(format!("topic {:?} is not a Kafka topic name", partition.topic)));
        }
        let offset = if position == -1001 { Offset::Invalid } else { Offset::Offset(position) };
        list.add_partition_offset(&partition.topic, partition.partition, offset)
            .map_err(|cause| error::from_kafka(&format!("name {partition}"), cause))?;
    }
    Ok(list)
}
