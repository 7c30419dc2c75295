import java.time.Duration;
import org.apache.flink.api.common.eventtime.WatermarkStrategy;
import org.apache.flink.api.common.functions.AggregateFunction;
import org.apache.flink.api.common.functions.OpenContext;
import org.apache.flink.api.common.serialization.AbstractDeserializationSchema;
import org.apache.flink.api.common.serialization.SimpleStringEncoder;
import org.apache.flink.api.common.state.ValueState;
import org.apache.flink.api.common.state.ValueStateDescriptor;
import org.apache.flink.api.common.typeinfo.TypeInformation;
import org.apache.flink.api.common.typeinfo.Types;
import org.apache.flink.api.java.tuple.Tuple3;
import org.apache.flink.configuration.CheckpointingOptions;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.configuration.MemorySize;
import org.apache.flink.configuration.StateBackendOptions;
import org.apache.flink.configuration.TaskManagerOptions;
import org.apache.flink.connector.file.sink.FileSink;
import org.apache.flink.connector.kafka.source.KafkaSource;
import org.apache.flink.connector.kafka.source.enumerator.initializer.OffsetsInitializer;
import org.apache.flink.core.fs.Path;
import org.apache.flink.streaming.api.environment.StreamExecutionEnvironment;
import org.apache.flink.streaming.api.functions.KeyedProcessFunction;
import org.apache.flink.streaming.api.functions.windowing.ProcessWindowFunction;
import org.apache.flink.streaming.api.windowing.assigners.TumblingEventTimeWindows;
import org.apache.flink.streaming.api.windowing.windows.TimeWindow;
import org.apache.flink.util.Collector;

/**
 * Apache Flink, DataStream: duplicates of a device dropped by its sequence, the time it was last
 * seen kept, then counts by window, ring, build and type into files.
 *
 * <p>In its favour: state on the heap, objects reused between chained operators, a checkpoint only
 * every 30 s (ringwatch is durable every 5 s), CSV instead of Parquet.
 *
 * <p>FlinkJob BOOTSTRAP TOPIC FOLDER: reads what is there, writes FOLDER/counts, ends.
 */
public final class FlinkJob {
    /** Beyond the 20 s of jitter of the workload, so that no record is late. */
    private static final Duration LATENESS = Duration.ofSeconds(30);
    private static final Duration CHECKPOINT_INTERVAL = Duration.ofSeconds(30);

    public static void main(String[] arguments) throws Exception {
        String folder = arguments[2];
        Configuration configuration = new Configuration();
        configuration.set(StateBackendOptions.STATE_BACKEND, "hashmap");
        configuration.set(CheckpointingOptions.CHECKPOINTS_DIRECTORY, "file://" + folder + "/state");
        // The heap holds the state: what Flink manages itself would lie idle.
        configuration.set(TaskManagerOptions.MANAGED_MEMORY_SIZE, MemorySize.ZERO);
        StreamExecutionEnvironment flink =
                StreamExecutionEnvironment.getExecutionEnvironment(configuration);
        flink.setParallelism(1);
        flink.getConfig().enableObjectReuse();
        flink.enableCheckpointing(CHECKPOINT_INTERVAL.toMillis());
        KafkaSource<Event> source = KafkaSource.<Event>builder()
                .setBootstrapServers(arguments[0])
                .setTopics(arguments[1])
                .setGroupId("flink")
                .setStartingOffsets(OffsetsInitializer.earliest())
                .setBounded(OffsetsInitializer.latest())
                .setValueOnlyDeserializer(new Parse())
                .build();
        WatermarkStrategy<Event> watermarks =
                WatermarkStrategy.<Event>forBoundedOutOfOrderness(LATENESS)
                        .withTimestampAssigner((event, before) -> event.timeMs);
        flink.fromSource(source, watermarks, "telemetry")
                .keyBy(event -> event.device)
                .process(new Deduplicate())
                .returns(Types.TUPLE(Types.STRING, Types.STRING, Types.STRING))
                .keyBy(key -> key, Types.TUPLE(Types.STRING, Types.STRING, Types.STRING))
                .window(TumblingEventTimeWindows.of(Duration.ofMillis(Event.WINDOW_MS)))
                .aggregate(new Count(), new Line())
                .sinkTo(FileSink.forRowFormat(
                        new Path(folder, "counts"), new SimpleStringEncoder<String>()).build());
        flink.execute();
    }

    private static final class Parse extends AbstractDeserializationSchema<Event> {
        Parse() {
            super(TypeInformation.of(Event.class));
        }

        /** Null is no record: the source steps over it. */
        @Override
        public Event deserialize(byte[] value) {
            return Event.parse(value);
        }
    }

    /** What is remembered of a device. */
    public static final class Seen {
        public long newest = -1;
        /** Which of the 64 numbers up to the newest came. */
        public long bitmap;
        public long lastSeenMs;
    }

    private static final class Deduplicate
            extends KeyedProcessFunction<String, Event, Tuple3<String, String, String>> {
        private transient ValueState<Seen> state;

        @Override
        public void open(OpenContext context) {
            state = getRuntimeContext().getState(new ValueStateDescriptor<>("seen", Seen.class));
        }

        @Override
        public void processElement(
                Event event, Context context, Collector<Tuple3<String, String, String>> out)
                throws Exception {
            Seen seen = state.value();
            if (seen == null) {
                seen = new Seen();
            }
            boolean isNew = isNew(seen, event.seq);
            seen.lastSeenMs = Math.max(seen.lastSeenMs, event.timeMs);
            state.update(seen);
            if (isNew) {
                out.collect(Tuple3.of(event.ring, event.build, event.type));
            }
        }

        private static boolean isNew(Seen seen, long seq) {
            long ahead = seq - seen.newest;
            if (ahead > 0) {
                seen.bitmap = (ahead < 64 ? seen.bitmap << ahead : 0) | 1;
                seen.newest = seq;
                return true;
            }
            long bit = ahead > -64 ? 1L << -ahead : 0;
            boolean isNew = bit != 0 && (seen.bitmap & bit) == 0;
            seen.bitmap |= bit;
            return isNew;
        }
    }

    private static final class Count
            implements AggregateFunction<Tuple3<String, String, String>, Long, Long> {
        @Override
        public Long createAccumulator() {
            return 0L;
        }

        @Override
        public Long add(Tuple3<String, String, String> key, Long count) {
            return count + 1;
        }

        @Override
        public Long getResult(Long count) {
            return count;
        }

        @Override
        public Long merge(Long one, Long other) {
            return one + other;
        }
    }

    private static final class Line extends
            ProcessWindowFunction<Long, String, Tuple3<String, String, String>, TimeWindow> {
        @Override
        public void process(Tuple3<String, String, String> key, Context context,
                Iterable<Long> counts, Collector<String> out) {
            long count = counts.iterator().next();
            out.collect(context.window().getStart() + "," + key.f0 + "," + key.f1 + "," + key.f2
                    + "," + count);
        }
    }
}
