// The measured process in Java: opens an artifact in ONNX Runtime, times it, and decides nothing.
//
//   java -cp CLASSES:JAR onnxexample.Worker VERSION
//
// VERSION is what the core library answers: the API's own answer is the jar's, whichever core it runs on.

package onnxexample;

import ai.onnxruntime.NodeInfo;
import ai.onnxruntime.OnnxTensor;
import ai.onnxruntime.OrtEnvironment;
import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtLoggingLevel;
import ai.onnxruntime.OrtProvider;
import ai.onnxruntime.OrtSession;
import ai.onnxruntime.TensorInfo;
import java.io.BufferedReader;
import java.io.FileOutputStream;
import java.io.IOException;
import java.io.InputStreamReader;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Paths;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Base64;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import onnxexample.Values.Array;
import onnxexample.Values.Refused;
import onnxexample.Values.Type;

public final class Worker {
  private static final String CPU = "CPUExecutionProvider";
  private static final String NOTE =
      "timed with OrtSession.run() of onnxruntime's Java API, which allocates outputs anew; inputs lie in direct buffers";

  /** An input or an output. */
  private static final class Spec {
    final String name;
    final Type type;
    final long[] shape;
    final String[] axes;

    Spec(NodeInfo info) {
      name = info.getName();
      if (!(info.getInfo() instanceof TensorInfo)) {
        throw new Refused("not_implemented", "'" + name + "' is not a tensor, which the Java worker cannot pass");
      }
      TensorInfo tensor = (TensorInfo) info.getInfo();
      type = Values.type(tensor, name);
      shape = tensor.getShape();
      axes = tensor.getDimensionNames();
    }

    List<Object> described() {
      List<Object> sizes = new ArrayList<>();
      for (int i = 0; i < shape.length; i++) {
        boolean named = shape[i] < 0 && axes != null && i < axes.length && axes[i] != null && !axes[i].isEmpty();
        sizes.add(named ? (Object) axes[i] : shape[i] < 0 ? null : (Object) shape[i]);
      }
      return Arrays.asList(name, "tensor(" + type.name + ")", sizes);
    }
  }

  /** The examples of one input, as an entry of `feeds` describes them. */
  private static final class Examples {
    final Spec spec;
    final boolean rows;
    private final String stated;
    private final List<Object> files;
    private final List<Array> sent = new ArrayList<>();
    private final Array held;

    Examples(Map<String, Object> feeds, Spec spec) {
      this.spec = spec;
      if (!feeds.containsKey(spec.name)) {
        String names = String.join(", ", new TreeSet<>(feeds.keySet()));
        throw new Refused("input", "no feed for input '" + spec.name + "'; feeds: " + (names.isEmpty() ? "none" : names));
      }
      Map<String, Object> entry = Json.map(feeds.get(spec.name));
      stated = Json.text(entry.get("type"));
      rows = entry.get("concatenated") != null;
      files = Json.list(entry.get("files"));
      for (Object one : Json.list(entry.get("data"))) {
        Map<String, Object> given = Json.map(one);
        long[] shape = Json.list(given.get("shape")).stream().mapToLong(size -> Json.whole(size, 0)).toArray();
        sent.add(Values.of(Json.text(given.get("dtype")), shape, Base64.getDecoder().decode(Json.text(given.get("base64")))));
      }
      Object whole = rows ? entry.get("concatenated") : entry.get("stacked");
      held = whole == null ? null : Values.npy(Values.read(whole.toString()));
      if (stored() == 0) throw new Refused("input", "the feed of input '" + spec.name + "' holds no example");
    }

    long stored() {
      if (!files.isEmpty()) return files.size();
      return !sent.isEmpty() ? sent.size() : held == null || held.shape.length == 0 ? 0 : held.shape[0];
    }

    private Array whole(long place) {
      int index = (int) (place % stored());
      if (!files.isEmpty()) return Values.npy(Values.read(files.get(index).toString()));
      return sent.isEmpty() ? held.at(index) : sent.get(index);
    }

    /** The examples at `places`, one behind another along `axis`, of the model's type; the first where it is negative. */
    Array batch(long[] places, int axis) {
      List<Array> parts = new ArrayList<>();
      for (long place : places) {
        Array one = whole(place);
        if (rows && spec.shape.length > 0) {
          long[] shape = new long[one.shape.length + 1];
          shape[0] = 1;
          System.arraycopy(one.shape, 0, shape, 1, one.shape.length);
          one = one.of(shape);
        }
        parts.add(one);
        if (axis < 0 || (rows && spec.shape.length == 0)) break;
      }
      Array chosen = parts.size() == 1 ? parts.get(0) : Values.joined(parts, axis, spec.name);
      return Values.fitting(chosen, stated, spec.type, spec.name);
    }
  }

  private final OrtEnvironment environment = OrtEnvironment.getEnvironment(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
  private final List<Map<String, OnnxTensor>> feeds = new ArrayList<>();
  private final Map<String, OrtSession> references = new LinkedHashMap<>();
  private final Map<String, Map<String, OnnxTensor>> halves = new LinkedHashMap<>();
  private List<Spec> inputs = List.of(), outputs = List.of();
  private OrtSession session;
  private long next;

  private Map<String, Object> open(Map<String, Object> request) throws OrtException {
    close();
    Map<String, Object> asked = Json.map(request.get("options"));
    String provider = Json.text(asked.get("provider"));
    if (!provider.equals(CPU)) {
      throw new Refused("provider", "the Java worker has no " + provider + "; it has " + CPU);
    }
    String path = Json.text(Json.map(request.get("artifact")).get("path"));
    try (OrtSession.SessionOptions options = options(request, asked)) {
      long start = System.nanoTime();
      session = environment.createSession(path, options);
      long sessionNs = System.nanoTime() - start;
      inputs = specs(session.getInputInfo());
      outputs = specs(session.getOutputInfo());
      bind(request);
      Map<String, Object> reply = new LinkedHashMap<>();
      reply.put("session_ns", sessionNs);
      reply.put("inputs", described(inputs));
      reply.put("outputs", described(outputs));
      reply.put("runtime", Map.of("providers", List.of(provider), "placement", Map.of()));
      reply.put("notes", List.of(NOTE));
      reply.put("examples", (long) feeds.size());
      return reply;
    }
  }

  private void close() throws OrtException {
    for (Map<String, OnnxTensor> one : feeds) one.values().forEach(OnnxTensor::close);
    feeds.clear();
    next = 0;
    if (session != null) session.close();
    session = null;
  }

  private static OrtSession.SessionOptions options(Map<String, Object> request, Map<String, Object> asked) throws OrtException {
    Map<String, Object> threads = Json.map(request.get("threads"));
    OrtSession.SessionOptions options = Settings.of(asked, threads.get("intra"), threads.get("inter"));
    options.setSessionLogLevel(OrtLoggingLevel.ORT_LOGGING_LEVEL_ERROR);
    if (Boolean.TRUE.equals(request.get("profile"))) {
      String folder = System.getenv().getOrDefault("TMPDIR", "/tmp");
      options.enableProfiling(folder + "/harness-profile-" + ProcessHandle.current().pid());
    }
    return options;
  }

  private static List<Spec> specs(Map<String, NodeInfo> infos) {
    List<Spec> found = new ArrayList<>();
    for (NodeInfo one : infos.values()) found.add(new Spec(one));
    return found;
  }

  private static List<Object> described(List<Spec> specs) {
    List<Object> found = new ArrayList<>();
    for (Spec one : specs) found.add(one.described());
    return found;
  }

  /** Put batches where the session reads them, as many as `rotate` asks. */
  private void bind(Map<String, Object> request) throws OrtException {
    long batch = Json.whole(request.get("batch"), 1), stored = 1;
    Map<String, Object> axes = Json.map(request.get("batch_axes"));
    List<Examples> given = new ArrayList<>();
    List<Integer> along = new ArrayList<>();
    for (Spec spec : inputs) {
      Examples examples = new Examples(Json.map(request.get("feeds")), spec);
      int axis = examples.rows ? 0 : (int) Json.whole(axes.get(spec.name), -1);
      boolean fixed = spec.shape.length > 0 && spec.shape[0] >= 0;
      if (batch != 1 && axes.isEmpty() && !examples.rows) {
        throw new Refused("batch", fixed
            ? "input '" + spec.name + "' has a fixed batch of " + spec.shape[0] + ", not " + batch
            : "no input declares a batch axis, so that only batch 1 is possible, not " + batch);
      }
      if (axis >= 0 && axis < spec.shape.length && spec.shape[axis] >= 0 && spec.shape[axis] != batch) {
        throw new Refused("batch", "input '" + spec.name + "' has a fixed batch of " + spec.shape[axis] + ", not " + batch);
      }
      stored = Math.max(stored, examples.stored());
      given.add(examples);
      along.add(axis);
    }
    long turns = Math.max(1, Math.min(Json.whole(request.get("rotate"), 1), stored));
    for (long number = 0; number < turns; number++) feeds.add(tensors(given, along, places(number, batch, stored)));
  }

  private Map<String, OnnxTensor> tensors(List<Examples> given, List<Integer> along, long[] places) throws OrtException {
    Map<String, OnnxTensor> feed = new LinkedHashMap<>();
    for (int i = 0; i < given.size(); i++) {
      Spec spec = given.get(i).spec;
      feed.put(spec.name, Values.tensor(environment, given.get(i).batch(places, along.get(i)), spec.type, spec.name));
    }
    return feed;
  }

  /** The examples of one batch; as many batches as there are examples differ from one another. */
  private static long[] places(long number, long batch, long stored) {
    long a = stored, b = batch;
    while (b != 0) {
      long rest = a % b;
      a = b;
      b = rest;
    }
    long first = number * batch + number / (stored / a); // so many begin at an example of their own
    long[] found = new long[(int) batch];
    for (int i = 0; i < batch; i++) found[i] = (first + i) % stored;
    return found;
  }

  /** n runs one by one, each from the call to the answer, on one feed after the other. */
  private static long[] timed(OrtSession session, List<Map<String, OnnxTensor>> feeds, long n, long first) throws OrtException {
    long[] durations = new long[(int) n];
    System.gc(); // a collection inside a timed run would be charged to the model
    for (int i = 0; i < n; i++) {
      Map<String, OnnxTensor> feed = feeds.get((int) ((first + i) % feeds.size()));
      long start = System.nanoTime();
      OrtSession.Result found = session.run(feed);
      durations[i] = System.nanoTime() - start;
      found.close();
    }
    return durations;
  }

  private Map<String, Object> burst(Map<String, Object> request) throws OrtException {
    long n = Json.whole(request.get("n"), 0), first = Json.whole(request.get("at"), next);
    Long before = preemptions();
    long[] durations = timed(session, feeds, n, first);
    Long after = preemptions();
    next = first + n;
    Map<String, Object> reply = new LinkedHashMap<>();
    reply.put("durations_ns", durations);
    reply.put("preempted", before == null || after == null ? null : (Object) (after - before));
    return reply;
  }

  /** Inputs are read only and outputs allocated anew, so that streams share the feeds. */
  private Map<String, Object> load(Map<String, Object> request) throws Exception {
    System.gc(); // as before a burst
    return Load.serve(request, (stream, number) -> session.run(feeds.get(number % feeds.size())).close());
  }

  private static Long preemptions() {
    try {
      for (String line : Files.readAllLines(Paths.get("/proc/thread-self/status"))) {
        if (line.startsWith("nonvoluntary_ctxt_switches:")) return Long.parseLong(line.split("\\s+")[1]);
      }
    } catch (IOException error) {
      return null; // not Linux
    }
    return null;
  }

  private Map<String, Object> reference(Map<String, Object> request) throws OrtException {
    List<Object> found = new ArrayList<>();
    for (Object one : Json.list(request.get("models"))) {
      Map<String, Object> asked = Json.map(one);
      String path = Json.text(asked.get("path"));
      if (!references.containsKey(path)) {
        OrtSession.SessionOptions options = new OrtSession.SessionOptions();
        options.setIntraOpNumThreads(1);
        options.setInterOpNumThreads(1);
        long[] shape = Json.list(asked.get("shape")).stream().mapToLong(size -> Json.whole(size, 0)).toArray();
        ByteBuffer half = ByteBuffer.allocateDirect((int) Values.count(shape) * 4).order(ByteOrder.nativeOrder());
        while (half.hasRemaining()) half.putFloat(0.5f);
        half.rewind();
        halves.put(path, Map.of("x", OnnxTensor.createTensor(environment, half.asFloatBuffer(), shape)));
        references.put(path, environment.createSession(path, options));
        references.get(path).run(halves.get(path)).close();
      }
      found.add(timed(references.get(path), List.of(halves.get(path)), Json.whole(asked.get("n"), 0), 0));
    }
    return Map.of("durations_ns", found);
  }

  private Map<String, Object> outputs(Map<String, Object> request) throws OrtException {
    List<Examples> given = new ArrayList<>();
    for (Spec spec : inputs) given.add(new Examples(Json.map(request.get("feeds")), spec));
    boolean rows = given.stream().anyMatch(one -> one.rows);
    List<Integer> along = Collections.nCopies(given.size(), rows ? 0 : -1);
    long total = Json.whole(request.get("examples"), 0), batch = rows ? Json.whole(request.get("batch"), 1) : 1;
    List<List<Array>> made = new ArrayList<>();
    for (int i = 0; i < outputs.size(); i++) made.add(new ArrayList<>());
    for (long first = 0; first < total; first += batch) {
      long[] places = new long[(int) batch];
      for (int i = 0; i < batch; i++) places[i] = (first + i) % total;
      Map<String, OnnxTensor> feed = tensors(given, along, places);
      try (OrtSession.Result found = session.run(feed)) {
        for (int i = 0; i < outputs.size(); i++) {
          Array whole = Values.array((OnnxTensor) found.get(i), outputs.get(i).type);
          boolean alike = rows && whole.shape.length > 0 && whole.shape[0] == batch;
          for (long row = 0; row < Math.min(batch, total - first); row++) made.get(i).add(alike ? whole.at(row) : whole);
        }
      } finally {
        feed.values().forEach(OnnxTensor::close);
      }
    }
    List<Object> entries = new ArrayList<>();
    for (int i = 0; i < made.size(); i++) entries.add(entry(Json.text(request.get("folder")) + "/", i, made.get(i), rows));
    return Map.of("outputs", entries);
  }

  private Map<String, Object> entry(String folder, int index, List<Array> made, boolean rows) {
    Map<String, Object> found = new LinkedHashMap<>();
    found.put("name", outputs.get(index).name);
    long[] first = made.get(0).shape;
    if (made.stream().allMatch(one -> Arrays.equals(one.shape, first))) {
      long[] shape = new long[first.length + 1];
      shape[0] = made.size();
      System.arraycopy(first, 0, shape, 1, first.length);
      Values.save(folder + index + ".npy", made, shape);
      found.put(rows ? "concatenated" : "stacked", index + ".npy");
    } else {
      List<Object> files = new ArrayList<>();
      for (Array one : made) {
        files.add(index + "-" + files.size() + ".npy");
        Values.save(folder + files.get(files.size() - 1), List.of(one), one.shape);
      }
      found.put("files", files);
    }
    if (!outputs.get(index).type.stated.isEmpty()) found.put("type", outputs.get(index).type.stated);
    return found;
  }

  private static Map<String, Object> hello(String version) {
    List<Object> providers = new ArrayList<>();
    for (OrtProvider one : OrtEnvironment.getAvailableProviders()) providers.add(one.getName());
    Map<String, Object> runtime = new LinkedHashMap<>();
    runtime.put("name", "onnxruntime-java");
    runtime.put("version", version);
    runtime.put("build", "Java " + System.getProperty("java.version") + ", jar " + OrtEnvironment.getEnvironment().getVersion());
    runtime.put("language", "java");
    runtime.put("providers", providers);
    Map<String, Object> found = new LinkedHashMap<>();
    found.put("ok", true);
    found.put("protocol", 2L);
    found.put("pid", ProcessHandle.current().pid());
    found.put("runtime", runtime);
    found.put("features", List.of("rotate", "reference", "load"));
    found.put("lacks", Map.of("placement", "onnxruntime's Java API does not tell which provider took which node"));
    return found;
  }

  private Map<String, Object> answer(Map<String, Object> request) throws Exception {
    switch (Json.text(request.get("cmd"))) {
      case "open": return open(request);
      case "burst": return burst(request);
      case "load": return load(request);
      case "reference": return reference(request);
      case "outputs": return outputs(request);
      case "profile": return Map.of("file", session.endProfiling());
      default: throw new Refused("runtime", "this worker does not know `" + request.get("cmd") + "`");
    }
  }

  private static Map<String, Object> refusal(Throwable error) {
    String said = error instanceof OutOfMemoryError ? "Java's heap is exhausted: " + error.getMessage() : error.getMessage();
    return Map.of("ok", false, "kind", kind(error), "message", said == null ? error.toString() : said);
  }

  private static String kind(Throwable error) {
    if (error instanceof OutOfMemoryError) return "memory";
    if (error instanceof Refused) return ((Refused) error).kind;
    String said = String.valueOf(error.getMessage());
    if (said.contains("bad_alloc") || said.contains("Failed to allocate memory")
        || said.contains("out of memory")) return "memory";
    if (!(error instanceof OrtException)) return "runtime";
    switch (((OrtException) error).getCode()) {
      case ORT_NOT_IMPLEMENTED: return "not_implemented";
      case ORT_INVALID_ARGUMENT: return "input";
      case ORT_INVALID_GRAPH: case ORT_INVALID_PROTOBUF: case ORT_NO_SUCHFILE: case ORT_NO_MODEL: return "model";
      default: return "runtime";
    }
  }

  private static void send(OutputStream to, Map<String, Object> message) throws IOException {
    to.write((Json.written(message) + "\n").getBytes(StandardCharsets.UTF_8));
    to.flush();
  }

  public static void main(String[] given) throws IOException {
    String number = System.getenv("HARNESS_REPLIES");
    OutputStream to = number == null ? System.out : new FileOutputStream("/dev/fd/" + number);
    Worker worker;
    try {
      send(to, hello(given[0]));
      worker = new Worker();
    } catch (LinkageError | RuntimeException error) {
      send(to, Map.of("ok", false, "kind", "provider", "message", "onnxruntime could not be loaded: " + error));
      return;
    }
    BufferedReader from = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = from.readLine(); line != null; line = from.readLine()) {
      Map<String, Object> reply;
      try {
        Map<String, Object> request = Json.map(Json.parse(line));
        if ("close".equals(request.get("cmd"))) break;
        reply = new LinkedHashMap<>(worker.answer(request));
        reply.put("ok", true);
      } catch (Exception | OutOfMemoryError error) {
        reply = refusal(error);
      }
      send(to, reply);
    }
    Runtime.getRuntime().halt(0); // tearing a session down takes as long as it likes, and nobody measures it
  }
}
