// The settings of a session, as a worker is asked for them and as an export keeps them.

package onnxexample;

import ai.onnxruntime.OrtException;
import ai.onnxruntime.OrtSession;
import java.util.Map;

public final class Settings {
  private Settings() {}

  /** Options of a session: `optimization`, `config` and `dims` of what is asked, and the numbers of threads; 0 or none is the default. */
  public static OrtSession.SessionOptions of(Map<String, Object> asked, Object intra, Object inter) throws OrtException {
    OrtSession.SessionOptions options = new OrtSession.SessionOptions();
    options.setOptimizationLevel(level(Json.text(asked.get("optimization"))));
    options.setIntraOpNumThreads((int) Json.whole(intra, 0));
    options.setInterOpNumThreads((int) Json.whole(inter, 0));
    for (Map.Entry<String, Object> one : Json.map(asked.get("config")).entrySet()) {
      if (!one.getKey().equals("session.execution_mode")) options.addConfigEntry(one.getKey(), Json.text(one.getValue()));
      else if (one.getValue().equals("1")) options.setExecutionMode(OrtSession.SessionOptions.ExecutionMode.PARALLEL);
    }
    for (Map.Entry<String, Object> one : Json.map(asked.get("dims")).entrySet()) {
      options.setSymbolicDimensionValue(one.getKey(), Json.whole(one.getValue(), 1));
    }
    return options;
  }

  private static OrtSession.SessionOptions.OptLevel level(String name) {
    switch (name) {
      case "disabled": return OrtSession.SessionOptions.OptLevel.NO_OPT;
      case "basic": return OrtSession.SessionOptions.OptLevel.BASIC_OPT;
      case "extended": return OrtSession.SessionOptions.OptLevel.EXTENDED_OPT;
      default: return OrtSession.SessionOptions.OptLevel.ALL_OPT;
    }
  }
}
