//! The consumer's event queue, read directly: the one place of this crate with `unsafe`.
//!
//! `BaseConsumer::poll` drops what ringwatch needs: the topic and offset of an end of partition
//! (three topics share one consumer) and of an error. It also panics on a header whose name is not
//! UTF-8, which any producer can send. So events are taken from the consumer's queue as librdkafka
//! gives them, wrapped here in types whose lifetimes say what librdkafka's documentation says:
//! what an event holds lives as long as the event, and an event may outlive nothing of the client.
//! Records come by the hundred from queues of their own ([`Batch`]). And a client that has lost
//! every broker is told of them again ([`rebootstrap`]).

#![expect(unsafe_code, reason = "librdkafka's event interface is a C interface")]

use std::ffi::{CStr, CString, c_char, c_int, c_void};
use std::marker::PhantomData;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::Duration;

use rdkafka::TopicPartitionList;
use rdkafka::bindings as c;
use rdkafka::client::{Client, ClientContext};
use rdkafka::consumer::{BaseConsumer, Consumer, ConsumerContext};
use rdkafka::error::RDKafkaErrorCode;

mod batch;

pub(super) use batch::Batch;

const OK: c::rd_kafka_resp_err_t = c::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR;

/// Tells a client of its bootstrap brokers again; to be called while it reaches none.
///
/// A broker that comes back after an outage can answer, for a moment, that the cluster has topics
/// and no broker. librdkafka then drops every broker that it knows and cancels its own re-bootstrap
/// (<https://github.com/confluentinc/librdkafka/issues/5301>, 2.10 and later): without this call it
/// would never connect again. A broker that the client knows as a bootstrap broker is not added
/// twice; the client keeps a copy of `brokers` for each call.
pub fn rebootstrap<C: ClientContext>(client: &Client<C>, brokers: &str) {
    // The client was made with the same text, so there is no zero byte in it.
    let Ok(brokers) = CString::new(brokers) else { return };
    // SAFETY: the client is alive; the text ends with a zero byte and is copied.
    unsafe { c::rd_kafka_brokers_add(client.native_ptr(), brokers.as_ptr()) };
}

/// The queue that everything for a consumer comes through.
pub(super) struct Queue(NonNull<c::rd_kafka_queue_t>);

// SAFETY: librdkafka's queues may be used from any thread (rdkafka.h, "thread-safe").
unsafe impl Send for Queue {}

impl Queue {
    /// The queue of `consumer`, which must have a group id; drop it before the consumer.
    pub(super) fn of<C: ConsumerContext>(consumer: &BaseConsumer<C>) -> Option<Self> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        let queue = unsafe { c::rd_kafka_queue_get_consumer(consumer.client().native_ptr()) };
        NonNull::new(queue).map(Self)
    }

    /// The next event within `timeout`.
    pub(super) fn poll(&self, timeout: Duration) -> Option<Event> {
        let timeout_ms = c_int::try_from(timeout.as_millis()).unwrap_or(c_int::MAX);
        // SAFETY: the queue is ours until drop; the event returned is owned by the caller.
        let event = unsafe { c::rd_kafka_queue_poll(self.0.as_ptr(), timeout_ms) };
        NonNull::new(event).map(Event)
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: the reference came from `rd_kafka_queue_get_consumer` and is given back once.
        unsafe { c::rd_kafka_queue_destroy(self.0.as_ptr()) };
    }
}

/// One event, which owns what it holds.
pub(super) struct Event(NonNull<c::rd_kafka_event_t>);

// SAFETY: an event is a plain block of memory with one owner.
unsafe impl Send for Event {}

impl Drop for Event {
    fn drop(&mut self) {
        // SAFETY: the event came from `rd_kafka_queue_poll` and is destroyed once.
        unsafe { c::rd_kafka_event_destroy(self.0.as_ptr()) };
    }
}

/// What an event is about.
pub(super) enum Kind {
    Fetch,
    Error,
    Rebalance,
    Log,
    /// An answer to an offset commit; the code says whether it failed.
    Commit,
    Other,
}

/// An error, and where it happened if it concerns a partition.
pub(super) struct Failure {
    pub(super) code: RDKafkaErrorCode,
    pub(super) reason: String,
    pub(super) is_fatal: bool,
    pub(super) place: Option<Place>,
}

/// A position in a topic.
pub(super) struct Place {
    pub(super) topic: String,
    pub(super) partition: i32,
    pub(super) offset: i64,
}

impl Event {
    pub(super) fn kind(&self) -> Kind {
        // SAFETY: the event is alive.
        match unsafe { c::rd_kafka_event_type(self.0.as_ptr()) } {
            c::RD_KAFKA_EVENT_FETCH => Kind::Fetch,
            c::RD_KAFKA_EVENT_ERROR => Kind::Error,
            c::RD_KAFKA_EVENT_REBALANCE => Kind::Rebalance,
            c::RD_KAFKA_EVENT_LOG => Kind::Log,
            c::RD_KAFKA_EVENT_OFFSET_COMMIT => Kind::Commit,
            _ => Kind::Other,
        }
    }

    /// The message of a fetch event.
    pub(super) fn fetched(self) -> Option<Fetched> {
        // SAFETY: the event is alive; the message is owned by it and stays where it is.
        let message = unsafe { c::rd_kafka_event_message_next(self.0.as_ptr()) };
        NonNull::new(message.cast_mut()).map(|message| Fetched { message, _event: self })
    }

    pub(super) fn raw_code(&self) -> c::rd_kafka_resp_err_t {
        // SAFETY: the event is alive.
        unsafe { c::rd_kafka_event_error(self.0.as_ptr()) }
    }

    /// The error of an error event.
    pub(super) fn failure(&self) -> Failure {
        let event = self.0.as_ptr();
        // SAFETY: the event is alive; the text is owned by it or static, and copied at once.
        let (reason, is_fatal) = unsafe {
            let text = c::rd_kafka_event_error_string(event);
            (owned_text(text), c::rd_kafka_event_error_is_fatal(event) != 0)
        };
        Failure { code: self.raw_code().into(), reason, is_fatal, place: self.place() }
    }

    /// The partition that an event is about.
    pub(super) fn place(&self) -> Option<Place> {
        // SAFETY: the list element returned is ours; it is copied, then destroyed once.
        unsafe {
            let element = c::rd_kafka_event_topic_partition(self.0.as_ptr());
            let place = element.as_ref().map(|element| Place {
                topic: owned_text(element.topic),
                partition: element.partition,
                offset: element.offset,
            });
            if !element.is_null() {
                c::rd_kafka_topic_partition_destroy(element);
            }
            place
        }
    }

    /// The partitions of a rebalance event.
    pub(super) fn partitions(&self) -> TopicPartitionList {
        let mut copy = TopicPartitionList::new();
        // SAFETY: the list is owned by the event and holds `cnt` elements; they are copied.
        let elements = unsafe {
            match c::rd_kafka_event_topic_partition_list(self.0.as_ptr()).as_ref() {
                Some(list) if !list.elems.is_null() => {
                    slice::from_raw_parts(list.elems, list.cnt as usize)
                }
                _ => &[],
            }
        };
        for element in elements {
            // SAFETY: librdkafka terminates topic names with a zero byte.
            let topic = unsafe { owned_text(element.topic) };
            copy.add_partition(&topic, element.partition);
        }
        copy
    }

    /// Severity (as of syslog), facility and text of a log event.
    pub(super) fn log(&self) -> Option<(i32, String, String)> {
        let (mut facility, mut text, mut level) = (ptr::null(), ptr::null(), 0);
        // SAFETY: the texts are owned by the event and copied at once.
        unsafe {
            let event = self.0.as_ptr();
            let code =
                c::rd_kafka_event_log(event, &raw mut facility, &raw mut text, &raw mut level);
            (code == 0).then(|| (level, owned_text(facility), owned_text(text)))
        }
    }
}

/// A fetched message with the event that owns it.
pub(super) struct Fetched {
    message: NonNull<c::rd_kafka_message_t>,
    _event: Event,
}

// SAFETY: the message is part of the event, which has one owner.
unsafe impl Send for Fetched {}

impl Fetched {
    pub(super) fn message(&self) -> Message<'_> {
        // SAFETY: the message lives as long as the event, and nothing else refers to it.
        Message { message: unsafe { self.message.as_ref() }, event: PhantomData }
    }
}

/// A message, borrowed from its event or batch.
#[derive(Clone, Copy)]
pub(super) struct Message<'a> {
    message: &'a c::rd_kafka_message_t,
    event: PhantomData<&'a Event>,
}

impl<'a> Message<'a> {
    /// The error that stands in place of a message.
    pub(super) fn failure(self) -> Option<Failure> {
        let code = RDKafkaErrorCode::from(self.message.err);
        (self.message.err != OK).then(|| Failure {
            code,
            reason: String::from_utf8_lossy(self.value().unwrap_or_default()).into_owned(),
            is_fatal: false,
            place: Some(Place {
                topic: self.topic().to_string_lossy().into_owned(),
                partition: self.partition(),
                offset: self.offset(),
            }),
        })
    }

    pub(super) fn topic(self) -> &'a CStr {
        if self.message.rkt.is_null() {
            return c"";
        }
        // SAFETY: the topic lives as long as a message of it, and its name as long as the topic.
        unsafe { CStr::from_ptr(c::rd_kafka_topic_name(self.message.rkt)) }
    }

    pub(super) const fn partition(self) -> i32 {
        self.message.partition
    }

    pub(super) const fn offset(self) -> i64 {
        self.message.offset
    }

    pub(super) fn key(self) -> Option<&'a [u8]> {
        // SAFETY: `key` is null or points to `key_len` bytes owned by the event.
        unsafe { bytes(self.message.key, self.message.key_len) }
    }

    pub(super) fn value(self) -> Option<&'a [u8]> {
        // SAFETY: `payload` is null or points to `len` bytes owned by the event.
        unsafe { bytes(self.message.payload, self.message.len) }
    }

    /// Asks for the value, which is read soon: the thread that unpacked it did so long before.
    pub(super) fn look_ahead(self) {
        #[cfg(target_arch = "x86_64")]
        for line in self.value().unwrap_or_default().chunks(CACHE_LINE).take(LINES_AHEAD) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: the address is that of a live value; nothing is read or written there.
            unsafe { _mm_prefetch::<_MM_HINT_T0>(line.as_ptr().cast()) };
        }
    }

    /// Unix milliseconds, if the message has a timestamp.
    pub(super) fn millis(self) -> Option<i64> {
        let mut kind = c::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is alive.
        let millis = unsafe { c::rd_kafka_message_timestamp(self.message, &raw mut kind) };
        (millis >= 0).then_some(millis)
    }

    pub(super) const fn headers(self) -> NativeHeaders<'a> {
        NativeHeaders { message: self.message }
    }
}

#[cfg(target_arch = "x86_64")]
const CACHE_LINE: usize = 64;
/// Of one value: as much as most records have; a long one is fetched ahead by the processor itself.
#[cfg(target_arch = "x86_64")]
const LINES_AHEAD: usize = 6;

/// The headers of a message. librdkafka allocates and parses when it is first asked for them, even
/// where there are none: a tenth of what a record costs, so whoever need not ask does not.
#[derive(Clone, Copy, Debug)]
pub struct NativeHeaders<'a> {
    message: &'a c::rd_kafka_message_t,
}

impl<'a> NativeHeaders<'a> {
    /// Owned by the message, so they live for 'a; `None` where there are none.
    fn parsed(&self) -> Option<NonNull<c::rd_kafka_headers_t>> {
        let mut headers = ptr::null_mut();
        // SAFETY: the message is alive and this thread's.
        let code = unsafe { c::rd_kafka_message_headers(self.message, &raw mut headers) };
        NonNull::new(headers).filter(|_| code == OK)
    }

    pub(crate) fn last(&self, name: &CStr) -> Option<&'a [u8]> {
        let headers = self.parsed()?.as_ptr();
        let (mut value, mut size) = (ptr::null(), 0);
        // SAFETY: the value is owned by the headers, which live for 'a.
        unsafe {
            let code =
                c::rd_kafka_header_get_last(headers, name.as_ptr(), &raw mut value, &raw mut size);
            if code == OK { bytes(value, size) } else { None }
        }
    }

    pub(crate) fn each(&self, visit: &mut dyn FnMut(&'a [u8], Option<&'a [u8]>)) {
        let Some(headers) = self.parsed().map(NonNull::as_ptr) else { return };
        for index in 0.. {
            let (mut name, mut value, mut size) = (ptr::null(), ptr::null(), 0);
            // SAFETY: names and values are owned by the headers, which live for 'a; names end
            // with a zero byte; an index beyond the last gives an error.
            unsafe {
                let code = c::rd_kafka_header_get_all(
                    headers,
                    index,
                    &raw mut name,
                    &raw mut value,
                    &raw mut size,
                );
                if code != OK {
                    return;
                }
                visit(CStr::from_ptr(name).to_bytes(), bytes(value, size));
            }
        }
    }
}

/// SAFETY: `start` is null or points to `length` bytes that live for 'a.
unsafe fn bytes<'a>(start: *const c_void, length: usize) -> Option<&'a [u8]> {
    // SAFETY: as the caller promises.
    (!start.is_null()).then(|| unsafe { slice::from_raw_parts(start.cast(), length) })
}

/// SAFETY: `text` is null or ends with a zero byte.
unsafe fn owned_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: as the caller promises.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().trim().to_owned()
}
