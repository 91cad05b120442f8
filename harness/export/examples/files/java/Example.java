// Opens the exported model as it was measured, feeds the samples, and checks what comes out.
//
// Take what you need: `options` is how the session is made, `fed` is what one call takes.

package onnxexample;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OnnxValue;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.io.File;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.function.Consumer;
import onnxexample.Values.Array;
import onnxexample.Values.Type;

public final class Example {
  private Example() {}

  /** Run every sample of a folder; 0 as expected, 1 not, 2 it does not run here. */
  public static int check(File folder, Consumer<String> say) {
    try {
      return checked(folder, say);
    } catch (Exception | LinkageError | OutOfMemoryError error) {
      say.accept("it does not run here: " + error.getMessage());
      return 2;
    }
  }

  /** A stored value. */
  static Array value(File folder, Map<String, Object> entry, int place) {
    if (!Json.list(entry.get("files")).isEmpty()) {
      return Values.npy(Values.read(new File(folder, Json.text(Json.list(entry.get("files")).get(place))).getPath()));
    }
    return Values.npy(Values.read(new File(folder, Json.text(entry.get("stacked"))).getPath())).at(place);
  }

  /** One sample: input name -> tensor. */
  static Map<String, OnnxTensor> fed(File folder, Map<String, Object> asked, OrtEnvironment environment, OrtSession session, int place)
      throws OrtException {
    Map<String, OnnxTensor> feed = new LinkedHashMap<>();
    Map<String, NodeInfo> inputs = session.getInputInfo();
    for (Object one : Json.list(asked.get("inputs"))) {
      Map<String, Object> entry = Json.map(one);
      String name = Json.text(entry.get("name"));
      Type type = Values.type((TensorInfo) inputs.get(name).getInfo(), name);
      Array given = Values.fitting(value(folder, entry, place), Json.text(entry.get("type")), type, name);
      feed.put(name, Values.tensor(environment, given, type, name));
    }
    return feed;
  }

  private static int checked(File folder, Consumer<String> say) throws OrtException {
    String content = new String(Values.read(new File(folder, "session.json").getPath()), StandardCharsets.UTF_8);
    Map<String, Object> asked = Json.map(Json.parse(content));
    if (!asked.get("provider").equals("CPUExecutionProvider")) {
      say.accept("this example has no " + asked.get("provider") + "; add it to the session's options in Settings.java");
      return 2;
    }
    OrtEnvironment environment = OrtEnvironment.getEnvironment();
    String measured = Json.text(Json.map(asked.get("measured_by")).get("version")), own = environment.getVersion();
    if (!measured.isEmpty() && !measured.equals(own)) {
      say.accept("measured with onnxruntime " + measured + ", this is " + own + ": times and outputs may differ");
    }
    int wrong = 0;
    try (OrtSession.SessionOptions options = Settings.of(asked, asked.get("intra_threads"), asked.get("inter_threads"));
        OrtSession session = environment.createSession(new File(folder, Json.text(asked.get("model"))).getPath(), options)) {
      for (int place = 0; place < Json.whole(asked.get("samples"), 0); place++) {
        Map<String, OnnxTensor> feed = fed(folder, asked, environment, session, place);
        try (OrtSession.Result found = session.run(feed)) {
          for (Map.Entry<String, OnnxValue> one : found) {
            String what = "sample " + place + ": " + one.getKey(), why = compared(folder, asked, session, one, place);
            wrong += why == null || why.isEmpty() ? 0 : 1;
            say.accept(why == null ? what + ", nothing to compare with" : what + ": " + (why.isEmpty() ? "as expected" : why));
          }
        } finally {
          feed.values().forEach(OnnxTensor::close);
        }
      }
    }
    return wrong == 0 ? 0 : 1;
  }

  /** What is wrong with an output; empty where nothing is, null where there is nothing to compare with. */
  private static String compared(File folder, Map<String, Object> asked, OrtSession session, Map.Entry<String, OnnxValue> output, int place)
      throws OrtException {
    String name = output.getKey();
    if (Json.list(asked.get("random")).contains(name)) return null;
    for (Object one : Json.list(asked.get("outputs"))) {
      Map<String, Object> entry = Json.map(one);
      if (!name.equals(entry.get("name"))) continue;
      Type type = Values.type((TensorInfo) session.getOutputInfo().get(name).getInfo(), name);
      Array found = Values.array((OnnxTensor) output.getValue(), type);
      return differs(found, value(folder, entry, place), type, ((Number) asked.get("tolerance")).doubleValue());
    }
    return null;
  }

  /** Numbers may lie apart by a share of the largest one. */
  static String differs(Array found, Array expected, Type type, double tolerance) {
    if (!Arrays.equals(found.shape, expected.shape)) {
      return "shape " + Arrays.toString(found.shape) + ", expected " + Arrays.toString(expected.shape);
    }
    if (!found.numpy.equals(expected.numpy)) return found.numpy + ", expected " + expected.numpy;
    int total = (int) Values.count(expected.shape), wrong = 0;
    if (found.words != null || !(type.numpy.startsWith("<f") || !type.stated.isEmpty())) {
      for (int i = 0; i < total; i++) {
        boolean alike = found.words != null
            ? found.words[i].equals(expected.words[i])
            : Arrays.equals(found.bytes, i * type.size, (i + 1) * type.size, expected.bytes, i * type.size, (i + 1) * type.size);
        wrong += alike ? 0 : 1;
      }
      return wrong == 0 ? "" : wrong + " of " + total + " values differ";
    }
    double apart = 0, largest = 0;
    for (int i = 0; i < total; i++) {
      double own = number(found.bytes, i, type), other = number(expected.bytes, i, type);
      if (!Double.isFinite(own) || !Double.isFinite(other)) {
        if (own != other && !(Double.isNaN(own) && Double.isNaN(other))) return "infinite or not a number at other places";
        continue;
      }
      apart = Math.max(apart, Math.abs(own - other));
      largest = Math.max(largest, Math.abs(other));
    }
    return apart <= tolerance * largest ? "" : "differs by " + apart + ", where the largest value is " + largest;
  }

  private static double number(byte[] bytes, int place, Type type) {
    ByteBuffer view = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    if (type.size == 8) return view.getDouble(8 * place);
    if (type.size == 4) return view.getFloat(4 * place);
    int bits = view.getShort(2 * place) & 0xffff;
    if (!type.stated.isEmpty()) return Float.intBitsToFloat(bits << 16);
    int exponent = bits >> 10 & 31;
    double rest = bits & 1023, size;
    if (exponent == 31) size = rest == 0 ? Double.POSITIVE_INFINITY : Double.NaN;
    else size = exponent == 0 ? Math.scalb(rest / 1024, -14) : Math.scalb(1 + rest / 1024, exponent - 15);
    return (bits & 0x8000) == 0 ? size : -size;
  }
}
