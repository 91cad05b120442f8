// The measured process in C++: opens an artifact in ONNX Runtime, times it, and decides nothing.
//
//   worker LIBRARY
//
// The library is loaded while it runs, and its API asked for in the newest version that both sides know: one binary
// runs releases older and newer than its headers.

#include <dlfcn.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include <iostream>
#include <memory>

#define ORT_API_MANUAL_INIT
#include <onnxruntime_cxx_api.h>

#include "load.hpp"
#include "tensors.hpp"

namespace {

constexpr int kOldest = 22;  // the oldest release that this was tried with: what its API lacks would be read past its end

int api_version = 0;

int64_t now() {
  timespec at;
  clock_gettime(CLOCK_MONOTONIC, &at);
  return at.tv_sec * int64_t{1000000000} + at.tv_nsec;
}

long preemptions() {
  rusage used;
  getrusage(RUSAGE_SELF, &used);
  return used.ru_nivcsw;
}

Ort::Env& environment() {
  static Ort::Env found(ORT_LOGGING_LEVEL_ERROR, "harness");
  return found;
}

const OrtMemoryInfo* cpu_memory() {
  static Ort::MemoryInfo found = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  return found;
}

std::vector<Spec> specs(const Ort::Session& session, bool inputs) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Spec> found;
  size_t number = inputs ? session.GetInputCount() : session.GetOutputCount();
  for (size_t i = 0; i < number; ++i) {
    auto name = inputs ? session.GetInputNameAllocated(i, allocator) : session.GetOutputNameAllocated(i, allocator);
    Ort::TypeInfo info = inputs ? session.GetInputTypeInfo(i) : session.GetOutputTypeInfo(i);
    if (info.GetONNXType() != ONNX_TYPE_TENSOR) {
      throw Refused("not_implemented", std::string("'") + name.get() + "' is not a tensor, which the C++ worker cannot pass");
    }
    auto tensor = info.GetTensorTypeAndShapeInfo();
    Spec spec{name.get(), &type_of(tensor.GetElementType(), name.get()), tensor.GetShape(), {}};
    for (const char* axis : tensor.GetSymbolicDimensions()) spec.axes.push_back(axis ? axis : "");
    found.push_back(spec);
  }
  return found;
}

std::string described(const std::vector<Spec>& specs) {
  std::vector<std::string> all;
  for (const auto& one : specs) {
    std::vector<std::string> shape;
    for (size_t i = 0; i < one.shape.size(); ++i) {
      bool named = one.shape[i] < 0 && i < one.axes.size() && !one.axes[i].empty();
      shape.push_back(named ? json::quoted(one.axes[i]) : one.shape[i] < 0 ? "null" : std::to_string(one.shape[i]));
    }
    all.push_back("[" + json::quoted(one.name) + "," + json::quoted(std::string("tensor(") + one.type->name + ")") + "," +
                  json::array(shape) + "]");
  }
  return json::array(all);
}

/** What is bound for one batch: inputs, and after the first run the memory that outputs are written to. */
struct Batch {
  std::vector<Array> arrays;
  std::vector<Ort::Value> inputs, outputs;
  std::unique_ptr<Ort::IoBinding> binding;
  bool prebound = false;
  std::vector<std::string> loose;  // outputs that every run allocates anew
};

struct Small {
  Ort::Session session{nullptr};
  Array array;
  std::vector<Ort::Value> values;
  std::unique_ptr<Ort::IoBinding> binding;
};

class Worker {
 public:
  std::string open(const json::Value& request) {
    batches_.clear();
    session_ = Ort::Session{nullptr};
    const json::Value& asked = request["options"];
    std::string provider = asked["provider"].text;
    Ort::SessionOptions options = session_options(request, provider);
    std::string path = request["artifact"]["path"].text;
    int64_t start = now();
    session_ = Ort::Session(environment(), path.c_str(), options);
    int64_t session_ns = now() - start;
    inputs_ = specs(session_, true);
    outputs_ = specs(session_, false);
    bind(request);
    return "\"session_ns\":" + std::to_string(session_ns) + ",\"inputs\":" + described(inputs_) +
           ",\"outputs\":" + described(outputs_) + ",\"runtime\":{\"providers\":" + json::texts({provider}) +
           ",\"placement\":" + placement() + "},\"examples\":" + std::to_string(batches_.size());
  }

  std::string burst(const json::Value& request) {
    int64_t n = request["n"].whole(), first = request["at"].whole(next_);
    std::vector<int64_t> durations(static_cast<size_t>(n), 0);
    long before = preemptions();
    for (int64_t i = 0; i < n; ++i) {
      Batch& batch = *batches_[static_cast<size_t>((first + i) % static_cast<int64_t>(batches_.size()))];
      for (const auto& name : batch.loose) batch.binding->BindOutput(name.c_str(), cpu_memory());
      int64_t start = now();
      session_.Run(Ort::RunOptions{nullptr}, *batch.binding);
      durations[static_cast<size_t>(i)] = now() - start;
      if (!batch.prebound) prebind(batch);
    }
    long after = preemptions();
    next_ = first + n;
    return "\"durations_ns\":" + json::numbers(durations) + ",\"preempted\":" + std::to_string(after - before);
  }

  /** Serve requests that arrive on their own; every stream has batches of its own, whose outputs nobody else writes. */
  std::string load(const json::Value& request) {
    const int64_t streams = request["streams"].whole(1), count = static_cast<int64_t>(batches_.size());
    if (count < streams) {
      throw Refused("input", std::to_string(streams) + " requests at a time need as many batches, and " +
                                 std::to_string(count) + " are bound");
    }
    for (auto& one : batches_) {
      if (one->prebound) continue;
      session_.Run(Ort::RunOptions{nullptr}, *one->binding);
      prebind(*one);
    }
    long before = preemptions();
    std::string reply = requests::serve(request, now, [&](int64_t stream, int64_t number) {
      const int64_t own = (count - stream + streams - 1) / streams;
      Batch& batch = *batches_[static_cast<size_t>(stream + streams * ((number / streams) % own))];
      for (const auto& name : batch.loose) batch.binding->BindOutput(name.c_str(), cpu_memory());
      session_.Run(Ort::RunOptions{nullptr}, *batch.binding);
    });
    return reply + ",\"preempted\":" + std::to_string(preemptions() - before);
  }

  std::string reference(const json::Value& request) {
    std::vector<std::string> all;
    for (const auto& asked : request["models"].items) {
      Small& small = small_model(asked);
      std::vector<int64_t> durations;
      for (int64_t i = 0; i < asked["n"].whole(); ++i) {
        int64_t start = now();
        small.session.Run(Ort::RunOptions{nullptr}, *small.binding);
        durations.push_back(now() - start);
      }
      all.push_back(json::numbers(durations));
    }
    return "\"durations_ns\":" + json::array(all);
  }

  std::string outputs(const json::Value& request) {
    std::vector<Examples> given;
    bool rows = false;
    for (const auto& spec : inputs_) {
      given.emplace_back(request["feeds"], spec);
      rows = rows || given.back().rows;
    }
    std::string folder = request["folder"].text + "/";
    int64_t total = request["examples"].whole(), batch = rows ? request["batch"].whole(1) : 1;
    std::vector<std::vector<Array>> made(outputs_.size());
    for (int64_t first = 0; first < total; first += batch) {
      std::vector<int64_t> places;
      for (int64_t place = first; place < first + batch; ++place) places.push_back(place % total);
      auto found = run_once(given, places, rows ? 0 : -1);
      for (size_t i = 0; i < found.size(); ++i) {
        if (rows) {
          split(found[i], batch, std::min(batch, total - first), made[i]);
        } else {
          made[i].push_back(found[i]);
        }
      }
    }
    std::vector<std::string> entries;
    for (size_t i = 0; i < made.size(); ++i) entries.push_back(entry(folder, i, made[i], rows));
    return "\"outputs\":" + json::array(entries);
  }

  /** The file that onnxruntime wrote: whoever asked reads it and removes it. */
  std::string profile(const json::Value&) {
    Ort::AllocatorWithDefaultOptions allocator;
    return std::string("\"file\":") + json::quoted(session_.EndProfilingAllocated(allocator).get());
  }

 private:
  Ort::Session session_{nullptr};
  std::vector<Spec> inputs_, outputs_;
  std::vector<std::unique_ptr<Batch>> batches_;
  std::map<std::string, std::unique_ptr<Small>> references_;
  int64_t next_ = 0, distinct_ = 1;

  static Ort::SessionOptions session_options(const json::Value& request, const std::string& provider) {
    static const std::map<std::string, GraphOptimizationLevel> levels = {
        {"disabled", ORT_DISABLE_ALL}, {"basic", ORT_ENABLE_BASIC}, {"extended", ORT_ENABLE_EXTENDED}, {"all", ORT_ENABLE_ALL}};
    const json::Value& asked = request["options"];
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(3);
    options.SetGraphOptimizationLevel(levels.at(asked["optimization"].text));
    options.SetIntraOpNumThreads(static_cast<int>(request["threads"]["intra"].whole()));
    options.SetInterOpNumThreads(static_cast<int>(request["threads"]["inter"].whole()));
    for (const auto& one : asked["config"].members) {
      if (one.first != "session.execution_mode") options.AddConfigEntry(one.first.c_str(), one.second.text.c_str());
      else if (one.second.text == "1") options.SetExecutionMode(ORT_PARALLEL);
    }
#if ORT_API_VERSION >= 24
    if (api_version >= 24) options.AddConfigEntry("session.record_ep_graph_assignment_info", "1");
#endif
    for (const auto& one : asked["dims"].members) options.AddFreeDimensionOverrideByName(one.first.c_str(), one.second.whole());
    if (request["profile"].truth()) {
      const char* folder = std::getenv("TMPDIR");
      options.EnableProfiling((std::string(folder ? folder : "/tmp") + "/harness-profile-" + std::to_string(getpid())).c_str());
    }
    append(options, provider, asked["provider_options"]);
    return options;
  }

  static void append(Ort::SessionOptions& options, const std::string& provider, const json::Value& settings) {
    auto available = Ort::GetAvailableProviders();
    if (std::find(available.begin(), available.end(), provider) == available.end()) {
      std::string names;
      for (const auto& one : available) names += (names.empty() ? "" : ", ") + one;
      throw Refused("provider", "this onnxruntime build has no " + provider + "; it has " + names);
    }
    if (provider == "CPUExecutionProvider") return;
    std::unordered_map<std::string, std::string> given;
    for (const auto& one : settings.members) given[one.first] = one.second.text;
    std::string name = provider.substr(0, provider.find("ExecutionProvider"));
    try {
      options.AppendExecutionProvider(name, given);
    } catch (const Ort::Exception& error) {
      throw Refused("provider", provider + " cannot be appended by its name from C++: " + error.what());
    }
  }

  std::string placement() const {
    std::map<std::string, size_t> nodes;
#if ORT_API_VERSION >= 24
    if (api_version >= 24)
      for (const auto& part : session_.GetEpGraphAssignmentInfo()) nodes[part.GetEpName()] += part.GetNodes().size();
#endif
    std::string found;
    for (const auto& one : nodes) found += (found.empty() ? "" : ",") + json::quoted(one.first) + ":" + std::to_string(one.second);
    return "{" + found + "}";
  }

  /** Put batches where the session reads them, as many as `rotate` asks. */
  void bind(const json::Value& request) {
    int64_t batch = request["batch"].whole(1), stored = 1;
    const json::Value& axes = request["batch_axes"];
    std::vector<std::pair<Examples, int>> given;
    next_ = 0;
    for (const auto& spec : inputs_) {
      Examples examples(request["feeds"], spec);
      int axis = examples.rows ? 0 : axes.has(spec.name) ? static_cast<int>(axes[spec.name].whole()) : -1;
      if (batch != 1 && axes.members.empty() && !examples.rows) {
        bool fixed = !spec.shape.empty() && spec.shape[0] >= 0;
        throw Refused("batch", fixed ? "input '" + spec.name + "' has a fixed batch of " + std::to_string(spec.shape[0]) +
                                           ", not " + std::to_string(batch)
                                     : "no input declares a batch axis, so that only batch 1 is possible, not " +
                                           std::to_string(batch));
      }
      bool there = axis >= 0 && axis < static_cast<int>(spec.shape.size());
      if (there && spec.shape[axis] >= 0 && spec.shape[axis] != batch) {
        throw Refused("batch", "input '" + spec.name + "' has a fixed batch of " + std::to_string(spec.shape[axis]) +
                                   ", not " + std::to_string(batch));
      }
      stored = std::max(stored, examples.stored());
      given.emplace_back(std::move(examples), axis);
    }
    distinct_ = std::max<int64_t>(1, std::min<int64_t>(request["rotate"].whole(1), stored));
    int64_t turns = std::max<int64_t>(distinct_, request["streams"].whole(1));
    for (int64_t number = 0; number < turns; ++number) {
      auto places = places_of(number, batch, stored);
      auto made = std::make_unique<Batch>();
      made->binding = std::make_unique<Ort::IoBinding>(session_);
      for (const auto& one : given) made->arrays.push_back(one.first.batch(places, one.second));
      for (size_t i = 0; i < inputs_.size(); ++i) {
        made->inputs.push_back(value_of(made->arrays[i], inputs_[i], cpu_memory()));
        made->binding->BindInput(inputs_[i].name.c_str(), made->inputs.back());
      }
      for (const auto& spec : outputs_) made->binding->BindOutput(spec.name.c_str(), cpu_memory());
      batches_.push_back(std::move(made));
    }
  }

  /** Write a batch's later outputs into the memory that its first run allocated, where they have the graph's shape. */
  void prebind(Batch& batch) const {
    batch.outputs = batch.binding->GetOutputValues();
    for (size_t i = 0; i < outputs_.size(); ++i) {
      Shape shape = batch.outputs[i].GetTensorTypeAndShapeInfo().GetShape();
      const Shape& declared = outputs_[i].shape;
      bool fits = shape.size() == declared.size() && !is_text(outputs_[i].type->numpy);
      for (size_t axis = 0; fits && axis < shape.size(); ++axis) fits = declared[axis] < 0 || declared[axis] == shape[axis];
      if (fits) batch.binding->BindOutput(outputs_[i].name.c_str(), batch.outputs[i]);
      else batch.loose.push_back(outputs_[i].name);
    }
    batch.prebound = true;
  }

  Small& small_model(const json::Value& asked) {
    std::string path = asked["path"].text;
    auto& found = references_[path];
    if (found) return *found;
    auto made = std::make_unique<Small>();
    Ort::SessionOptions options;
    options.SetLogSeverityLevel(3);
    options.SetIntraOpNumThreads(1);
    options.SetInterOpNumThreads(1);
    made->session = Ort::Session(environment(), path.c_str(), options);
    Spec input = specs(made->session, true).at(0), output = specs(made->session, false).at(0);
    for (const auto& size : asked["shape"].items) made->array.shape.push_back(size.whole());
    std::vector<float> halves(static_cast<size_t>(count(made->array.shape)), 0.5f);
    made->array.bytes.assign(reinterpret_cast<const char*>(halves.data()), halves.size() * sizeof(float));
    made->values.push_back(value_of(made->array, input, cpu_memory()));
    made->binding = std::make_unique<Ort::IoBinding>(made->session);
    made->binding->BindInput("x", made->values[0]);
    made->binding->BindOutput(output.name.c_str(), cpu_memory());
    made->session.Run(Ort::RunOptions{nullptr}, *made->binding);
    made->values.push_back(std::move(made->binding->GetOutputValues().at(0)));
    made->binding->BindOutput(output.name.c_str(), made->values[1]);
    made->session.Run(Ort::RunOptions{nullptr}, *made->binding);
    found = std::move(made);
    return *found;
  }

  std::vector<Array> run_once(const std::vector<Examples>& given, const std::vector<int64_t>& places, int axis) {
    std::vector<Array> arrays;
    std::vector<Ort::Value> values;
    std::vector<const char*> names, wanted;
    for (const auto& one : given) arrays.push_back(one.batch(places, axis));
    for (size_t i = 0; i < given.size(); ++i) {
      values.push_back(value_of(arrays[i], inputs_[i], cpu_memory()));
      names.push_back(inputs_[i].name.c_str());
    }
    for (const auto& one : outputs_) wanted.push_back(one.name.c_str());
    auto found = session_.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(), wanted.data(), wanted.size());
    std::vector<Array> made;
    for (size_t i = 0; i < found.size(); ++i) made.push_back(array_of(found[i], *outputs_[i].type));
    return made;
  }

  /** The rows of a batch's output that are kept; an output without the batch axis is one value for all rows. */
  static void split(const Array& whole, int64_t batch, int64_t keep, std::vector<Array>& made) {
    bool alike = !whole.shape.empty() && whole.shape[0] == batch;
    Shape rest = alike ? Shape(whole.shape.begin() + 1, whole.shape.end()) : whole.shape;
    size_t size = alike ? whole.bytes.size() / static_cast<size_t>(batch) : whole.bytes.size();
    for (int64_t row = 0; row < keep; ++row)
      made.push_back({whole.numpy, rest, whole.bytes.substr(alike ? row * size : 0, size)});
  }

  std::string entry(const std::string& folder, size_t index, std::vector<Array>& made, bool rows) const {
    of_one_width(made);
    std::string name = json::quoted(outputs_[index].name), file = std::to_string(index) + ".npy", place;
    bool alike = std::all_of(made.begin(), made.end(), [&](const Array& one) { return one.shape == made[0].shape; });
    if (alike) {
      Shape shape = made[0].shape;
      shape.insert(shape.begin(), static_cast<int64_t>(made.size()));
      std::vector<std::string> parts;
      for (const auto& one : made) parts.push_back(one.bytes);
      save(folder + file, made[0].numpy, shape, parts);
      place = (rows ? "\"concatenated\":" : "\"stacked\":") + json::quoted(file);
    } else {
      std::vector<std::string> files;
      for (size_t i = 0; i < made.size(); ++i) {
        files.push_back(std::to_string(index) + "-" + std::to_string(i) + ".npy");
        save(folder + files.back(), made[i].numpy, made[i].shape, {made[i].bytes});
      }
      place = "\"files\":" + json::texts(files);
    }
    std::string stated = outputs_[index].type->stated;
    return "{\"name\":" + name + "," + place + (stated.empty() ? "" : ",\"type\":" + json::quoted(stated)) + "}";
  }
};

std::string refusal(const std::string& kind, const std::string& message) {
  return "{\"ok\":false,\"kind\":" + json::quoted(kind) + ",\"message\":" + json::quoted(message) + "}";
}

std::string kind_of(const Ort::Exception& error) {
  std::string text = error.what();
  if (text.find("bad_alloc") != std::string::npos || text.find("Failed to allocate memory") != std::string::npos ||
      text.find("out of memory") != std::string::npos) {
    return "memory";
  }
  switch (error.GetOrtErrorCode()) {
    case ORT_NOT_IMPLEMENTED: return "not_implemented";
    case ORT_INVALID_ARGUMENT: return "input";
    case ORT_INVALID_GRAPH:
    case ORT_INVALID_PROTOBUF:
    case ORT_NO_SUCHFILE:
    case ORT_NO_MODEL: return "model";
    default: return "runtime";
  }
}

/** Load the library, and ask for the newest API that both sides know; its version. */
std::string load(const char* path) {
  void* library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
  if (!library) throw Refused("provider", dlerror());
  auto base = reinterpret_cast<const OrtApiBase* (*)()>(dlsym(library, "OrtGetApiBase"));
  if (!base) throw Refused("provider", std::string(path) + " is not onnxruntime: it has no OrtGetApiBase");
  std::string version = base()->GetVersionString();
  size_t dot = version.find('.');
  int minor = dot == std::string::npos ? 0 : std::atoi(version.c_str() + dot + 1);
  api_version = std::min(minor, ORT_API_VERSION);
  const OrtApi* api = api_version >= kOldest ? base()->GetApi(static_cast<uint32_t>(api_version)) : nullptr;
  if (!api) {
    throw Refused("provider", "onnxruntime " + version + " (" + path + ") is older than the API that the C++ worker " +
                                  "needs: use 1." + std::to_string(kOldest) + " or newer");
  }
  Ort::InitApi(api);
  return version;
}

std::string hello(const std::string& version) {
  std::string build = Ort::GetBuildInfoString() + " API " + std::to_string(api_version);
  std::string lacks = api_version >= 24 ? "" : ",\"lacks\":{\"placement\":\"onnxruntime tells which provider took which node from 1.24 on\"}";
  return "{\"ok\":true,\"protocol\":2,\"pid\":" + std::to_string(getpid()) +
         ",\"runtime\":{\"name\":\"onnxruntime-cpp\",\"version\":" + json::quoted(version) + ",\"build\":" + json::quoted(build) +
         ",\"language\":\"c++\",\"providers\":" + json::texts(Ort::GetAvailableProviders()) +
         "},\"features\":[\"rotate\",\"reference\",\"load\"]" + lacks + "}";
}

std::string answer(Worker& worker, const json::Value& request) {
  std::string command = request["cmd"].text;
  try {
    std::string found;
    if (command == "open") found = worker.open(request);
    else if (command == "burst") found = worker.burst(request);
    else if (command == "load") found = worker.load(request);
    else if (command == "reference") found = worker.reference(request);
    else if (command == "outputs") found = worker.outputs(request);
    else if (command == "profile") found = worker.profile(request);
    else throw Refused("runtime", "this worker does not know `" + command + "`");
    return "{\"ok\":true," + found + "}";
  } catch (const Refused& error) {
    return refusal(error.kind, error.what());
  } catch (const Ort::Exception& error) {
    return refusal(kind_of(error), error.what());
  } catch (const std::bad_alloc&) {
    return refusal("memory", "memory ran out");
  } catch (const std::exception& error) {
    return refusal("runtime", error.what());
  }
}

}  // namespace

int main(int count, char** arguments) {
  // Whatever a library prints must not end up between two messages.
  FILE* replies = fdopen(dup(1), "wb");
  dup2(2, 1);
  auto send = [&](const std::string& message) {
    std::fputs((message + "\n").c_str(), replies);
    std::fflush(replies);
  };
  if (count != 2) {
    send(refusal("runtime", "usage: worker LIBRARY"));
    return 2;
  }
  try {
    send(hello(load(arguments[1])));
  } catch (const Refused& error) {
    send(refusal(error.kind, error.what()));
    return 1;
  }
  auto* worker = new Worker;  // never torn down: that takes as long as it likes, and nobody measures it
  std::string line;
  while (std::getline(std::cin, line)) {
    json::Value request = json::parse(line);
    if (request["cmd"].text == "close") break;
    send(answer(*worker, request));
  }
  std::_Exit(0);
}
