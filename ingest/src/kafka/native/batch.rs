//! Records taken many at a time: from a queue of their own, into which partitions are led.
//!
//! `rd_kafka_consume_batch_queue` costs half of what an event a record costs. It hands out errors
//! and ends of partitions as messages, too, and counts them as read: a partition that is paused and
//! resumed after one goes on behind the next record. So nothing is ever resumed here, only started
//! from a place that we name.

use std::ffi::CString;
use std::time::Duration;

use super::{
    BaseConsumer, Consumer, ConsumerContext, Message, NonNull, PhantomData, Queue, c, ptr,
};

/// Messages of one call: fewer cost a call more often, more are cold again before their turn.
const MESSAGES_MAX: usize = 512;

impl Queue {
    /// A queue into which nothing is led yet; drop it before the consumer.
    pub(in crate::kafka) fn gathering<C: ConsumerContext>(
        consumer: &BaseConsumer<C>,
    ) -> Option<Self> {
        // SAFETY: the client is alive; the call returns a new reference or null.
        let queue = unsafe { c::rd_kafka_queue_new(consumer.client().native_ptr()) };
        NonNull::new(queue).map(Self)
    }

    /// Leads what is fetched of a partition here, what waits elsewhere included; harmless if that
    /// is so already. The client takes it back whenever it stops fetching the partition.
    pub(in crate::kafka) fn gather<C: ConsumerContext>(
        &self,
        consumer: &BaseConsumer<C>,
        topic: &str,
        partition: i32,
    ) {
        // A topic's name comes from a list that librdkafka has taken: it holds no zero byte.
        let Ok(topic) = CString::new(topic) else { return };
        // SAFETY: client, name and both queues are alive; the new reference is given back once.
        unsafe {
            let client = consumer.client().native_ptr();
            let source = c::rd_kafka_queue_get_partition(client, topic.as_ptr(), partition);
            if !source.is_null() {
                c::rd_kafka_queue_forward(source, self.0.as_ptr());
                c::rd_kafka_queue_destroy(source);
            }
        }
    }
}

/// Messages that were taken from a queue and not yet dealt with, in its order.
pub(in crate::kafka) struct Batch {
    /// Those before `next` are destroyed.
    messages: Vec<*mut c::rd_kafka_message_t>,
    next: usize,
}

// SAFETY: a message is a plain block of memory with one owner.
unsafe impl Send for Batch {}

impl Batch {
    pub(in crate::kafka) fn new() -> Self {
        Self { messages: Vec::with_capacity(MESSAGES_MAX), next: 0 }
    }

    pub(in crate::kafka) const fn len(&self) -> usize {
        self.messages.len() - self.next
    }

    /// Takes what is in the queue; if that is nothing, what comes within `timeout`.
    ///
    /// # Panics
    /// If messages are left.
    pub(in crate::kafka) fn fill(&mut self, queue: &Queue, timeout: Duration) {
        assert!(self.len() == 0, "what was taken is dealt with first");
        // A call waits until it has all that it may take, so only a call for one may wait.
        self.take(queue, Duration::ZERO, MESSAGES_MAX);
        if self.len() == 0 && !timeout.is_zero() {
            self.take(queue, timeout, 1);
        }
    }

    fn take(&mut self, queue: &Queue, timeout: Duration, count_max: usize) {
        self.messages.clear();
        self.messages.resize(count_max, ptr::null_mut());
        self.next = 0;
        let timeout_ms = i32::try_from(timeout.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: the queue is alive; there is room for `count_max` pointers, and the call says
        // how many it has written. Each message is ours until it is destroyed.
        let taken = unsafe {
            let room = self.messages.as_mut_ptr();
            c::rd_kafka_consume_batch_queue(queue.0.as_ptr(), timeout_ms, room, count_max)
        };
        // Negative: nothing was taken.
        self.messages.truncate(usize::try_from(taken).unwrap_or(0));
    }

    /// The message of that number from the front.
    ///
    /// # Panics
    /// If there are not so many.
    pub(in crate::kafka) fn get(&self, index: usize) -> Message<'_> {
        // SAFETY: messages from `next` on are alive until `self` is changed.
        Message { message: unsafe { &*self.messages[self.next + index] }, event: PhantomData }
    }

    /// How many messages from the front are records of the same partition as the first.
    pub(in crate::kafka) fn run_length(&self, count_max: usize) -> usize {
        let first = self.get(0).message;
        let same = |&index: &usize| {
            let message = self.get(index).message;
            // The same topic is the same object: they are compared as addresses.
            message.rkt == first.rkt
                && message.partition == first.partition
                && message.err == super::OK
        };
        (0..self.len().min(count_max)).take_while(same).count()
    }

    /// Destroys the first `count` messages.
    ///
    /// # Panics
    /// If there are not so many.
    pub(in crate::kafka) fn done(&mut self, count: usize) {
        for &message in &self.messages[self.next..self.next + count] {
            // SAFETY: the message is ours, and destroyed once: `next` moves behind it.
            unsafe { c::rd_kafka_message_destroy(message) };
        }
        self.next += count;
    }

    /// Destroys the messages for which `is_it` says so.
    pub(in crate::kafka) fn forget(&mut self, is_it: impl Fn(Message<'_>) -> bool) {
        let (gone, kept) =
            (self.next..self.messages.len()).map(|at| self.messages[at]).partition(|&message| {
                // SAFETY: messages from `next` on are alive.
                is_it(Message { message: unsafe { &*message }, event: PhantomData })
            });
        (self.messages, self.next) = (gone, 0);
        self.done(self.len());
        (self.messages, self.next) = (kept, 0);
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.done(self.len());
    }
}
