import com.fasterxml.jackson.core.JsonFactory;
import com.fasterxml.jackson.core.JsonParser;
import com.fasterxml.jackson.core.JsonToken;
import java.io.IOException;
import java.time.DateTimeException;
import java.time.Instant;
import java.util.Set;

/**
 * What the peers read of a telemetry record, by Jackson's streaming parser: the fastest that JSON
 * gets in Java without a library of its own. It refuses what the canonical workload spoils; the
 * rest of the contract's rules it does not check, which is work that ringwatch does and peers do
 * not.
 */
public final class Event {
    /** Length of a window. */
    public static final long WINDOW_MS = 60_000;

    private static final JsonFactory FACTORY = new JsonFactory();
    private static final Set<String> TYPES = Set.of("heartbeat", "boot", "update", "fault");
    private static final long YEAR_2000_MS = 946_684_800_000L;

    public String device;
    public String ring;
    public String build;
    public String type;
    public long timeMs;
    public long seq;

    /** Public and without arguments, as Flink's serializer of plain objects needs it. */
    public Event() {}

    /** The record's event; null where it is to be refused. */
    public static Event parse(byte[] value) {
        try (JsonParser parser = FACTORY.createParser(value)) {
            if (parser.nextToken() != JsonToken.START_OBJECT) {
                return null;
            }
            Event event = new Event();
            event.seq = -1;
            while (parser.nextToken() == JsonToken.FIELD_NAME) {
                String name = parser.currentName();
                parser.nextToken();
                if (!event.take(name, parser)) {
                    return null;
                }
            }
            return event.isWhole() ? event : null;
        } catch (IOException | DateTimeException malformed) {
            return null;
        }
    }

    /** Takes a field, or steps over it; false where its value is to be refused. */
    private boolean take(String name, JsonParser parser) throws IOException {
        switch (name) {
            case "v":
                return parser.getIntValue() == 1;
            case "type":
                type = parser.getText();
                return TYPES.contains(type);
            case "device":
                device = parser.getText();
                return true;
            case "ring":
                ring = parser.getText();
                return true;
            case "build":
                boolean isFirst = build == null;
                build = parser.getText();
                return isFirst;
            case "time":
                timeMs = Instant.parse(parser.getText()).toEpochMilli();
                return timeMs >= YEAR_2000_MS;
            case "seq":
                seq = parser.getLongValue();
                return seq >= 0;
            case "interval_s":
                return parser.getLongValue() > 0;
            default:
                parser.skipChildren();
                return true;
        }
    }

    private boolean isWhole() {
        return device != null && ring != null && build != null && type != null && timeMs > 0
                && seq >= 0;
    }
}
