import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Collectors;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.Serde;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.KeyValue;
import org.apache.kafka.streams.StoreQueryParameters;
import org.apache.kafka.streams.StreamsBuilder;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.kstream.Consumed;
import org.apache.kafka.streams.kstream.Grouped;
import org.apache.kafka.streams.kstream.Materialized;
import org.apache.kafka.streams.kstream.TimeWindows;
import org.apache.kafka.streams.kstream.Windowed;
import org.apache.kafka.streams.processor.TimestampExtractor;
import org.apache.kafka.streams.state.KeyValueIterator;
import org.apache.kafka.streams.state.QueryableStoreTypes;
import org.apache.kafka.streams.state.Stores;

/**
 * Kafka Streams: counts by window, ring, build and type, nothing else: no duplicates dropped, no
 * state of a device. Grouping by another key than the topic's goes through a topic of its own, as
 * it does in any such program.
 *
 * <p>In its favour: the counts in memory, without their log, at least once, a commit every 30 s.
 *
 * <p>StreamsJob BOOTSTRAP TOPIC FOLDER: reads what is there, writes FOLDER/counts/all, ends.
 */
public final class StreamsJob {
    private static final String STORE = "counts";
    private static final Duration GRACE = Duration.ofDays(1);
    private static final Duration PATIENCE = Duration.ofMinutes(1);
    private static final byte[] NOTHING = {};

    private static final AtomicLong READ = new AtomicLong();
    private static final AtomicLong REFUSED = new AtomicLong();
    private static final AtomicLong COUNTED = new AtomicLong();

    public static void main(String[] arguments) throws Exception {
        Path folder = Path.of(arguments[2]);
        long expected = messages(arguments[0], arguments[1]);
        StreamsBuilder builder = new StreamsBuilder();
        Serde<Event> events = Serdes.serdeFrom(
                (topic, event) -> null, (topic, value) -> Event.parse(value));
        builder.stream(arguments[1], Consumed.with(Serdes.String(), events)
                        .withTimestampExtractor(new ByEventTime()))
                .filter((device, event) -> isAccepted(event))
                .map((device, event) -> KeyValue.pair(
                        event.ring + "," + event.build + "," + event.type, NOTHING))
                .groupByKey(Grouped.with("key", Serdes.String(), Serdes.ByteArray()))
                .windowedBy(TimeWindows.ofSizeAndGrace(
                        Duration.ofMillis(Event.WINDOW_MS), GRACE))
                .aggregate(() -> 0L, (key, value, count) -> {
                    COUNTED.incrementAndGet();
                    return count + 1;
                }, Materialized.<String, Long>as(Stores.inMemoryWindowStore(STORE,
                                GRACE.plusHours(1), Duration.ofMillis(Event.WINDOW_MS), false))
                        .withKeySerde(Serdes.String())
                        .withValueSerde(Serdes.Long())
                        .withLoggingDisabled());
        KafkaStreams streams = new KafkaStreams(builder.build(), settings(arguments[0], folder));
        CountDownLatch running = new CountDownLatch(1);
        streams.setStateListener((now, before) -> {
            if (now == KafkaStreams.State.RUNNING) {
                running.countDown();
            }
        });
        streams.start();
        running.await();
        waitForAll(expected);
        write(streams, folder.resolve("counts"));
        streams.close();
        System.out.println(READ.get() + " read, " + REFUSED.get() + " refused");
    }

    /** Waits until every record has come through both topics; fails once nothing moves. */
    private static void waitForAll(long expected) throws InterruptedException {
        long before = -1;
        long still = System.nanoTime();
        while (READ.get() < expected || COUNTED.get() < READ.get() - REFUSED.get()) {
            Thread.sleep(10);
            long now = READ.get() + COUNTED.get();
            if (now != before) {
                before = now;
                still = System.nanoTime();
            } else if (System.nanoTime() - still > PATIENCE.toNanos()) {
                System.err.println("of " + expected + " records " + READ.get() + " were read, "
                        + REFUSED.get() + " refused, " + COUNTED.get() + " counted");
                System.exit(1);
            }
        }
    }

    private static Properties settings(String bootstrap, Path folder) {
        Properties settings = new Properties();
        settings.put(StreamsConfig.APPLICATION_ID_CONFIG, "streams-" + folder.getFileName());
        settings.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, bootstrap);
        settings.put(StreamsConfig.STATE_DIR_CONFIG, folder.resolve("state").toString());
        settings.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, 1);
        settings.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, 30_000);
        settings.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
        settings.put(StreamsConfig.producerPrefix("linger.ms"), 20);
        settings.put(StreamsConfig.producerPrefix("batch.size"), 262_144);
        settings.put(StreamsConfig.producerPrefix("compression.type"), "lz4");
        return settings;
    }

    private static boolean isAccepted(Event event) {
        if (event == null) {
            REFUSED.incrementAndGet();
        }
        READ.incrementAndGet();
        return event != null;
    }

    /** How many messages the topic holds now. */
    private static long messages(String bootstrap, String topic) throws Exception {
        Map<String, Object> settings = new HashMap<>();
        settings.put("bootstrap.servers", bootstrap);
        try (Admin admin = Admin.create(settings)) {
            var description = admin.describeTopics(List.of(topic)).allTopicNames().get();
            var latest = description.get(topic).partitions().stream().collect(Collectors.toMap(
                    partition -> new TopicPartition(topic, partition.partition()),
                    partition -> OffsetSpec.latest()));
            return admin.listOffsets(latest).all().get().values().stream()
                    .mapToLong(end -> end.offset()).sum();
        }
    }

    private static void write(KafkaStreams streams, Path folder) throws Exception {
        Files.createDirectories(folder);
        var store = streams.store(StoreQueryParameters.fromNameAndType(
                STORE, QueryableStoreTypes.<String, Long>windowStore()));
        try (PrintWriter out = new PrintWriter(folder.resolve("all").toFile());
                KeyValueIterator<Windowed<String>, Long> all = store.all()) {
            while (all.hasNext()) {
                KeyValue<Windowed<String>, Long> next = all.next();
                out.println(next.key.window().start() + "," + next.key.key() + "," + next.value);
            }
        }
    }

    private static final class ByEventTime implements TimestampExtractor {
        /** What is refused later takes the time of what came before it. */
        @Override
        public long extract(ConsumerRecord<Object, Object> record, long partitionTime) {
            return record.value() instanceof Event event
                    ? event.timeMs : Math.max(partitionTime, 0);
        }
    }
}
