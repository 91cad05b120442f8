// Opens the exported model as it was measured, feeds the samples, and checks what comes out.
//
// Take what you need: `session_options` is how the session is made, `fed` is what one call takes.

#pragma once

#include <onnxruntime_cxx_api.h>

#include <cmath>
#include <ostream>
#include <unordered_map>

#include "tensors.hpp"

namespace example {

inline Ort::SessionOptions session_options(const json::Value& asked) {
  static const std::map<std::string, GraphOptimizationLevel> levels = {
      {"disabled", ORT_DISABLE_ALL}, {"basic", ORT_ENABLE_BASIC}, {"extended", ORT_ENABLE_EXTENDED}, {"all", ORT_ENABLE_ALL}};
  Ort::SessionOptions options;
  options.SetLogSeverityLevel(3);
  options.SetGraphOptimizationLevel(levels.at(asked["optimization"].text));
  options.SetIntraOpNumThreads(static_cast<int>(asked["intra_threads"].whole()));
  options.SetInterOpNumThreads(static_cast<int>(asked["inter_threads"].whole()));
  for (const auto& one : asked["config"].members) {
    if (one.first != "session.execution_mode") options.AddConfigEntry(one.first.c_str(), one.second.text.c_str());
    else if (one.second.text == "1") options.SetExecutionMode(ORT_PARALLEL);
  }
  for (const auto& one : asked["dims"].members) options.AddFreeDimensionOverrideByName(one.first.c_str(), one.second.whole());
  const std::string provider = asked["provider"].text;
  if (provider != "CPUExecutionProvider") {
    std::unordered_map<std::string, std::string> given;
    for (const auto& one : asked["provider_options"].members) given[one.first] = one.second.text;
    options.AppendExecutionProvider(provider.substr(0, provider.find("ExecutionProvider")), given);
  }
  return options;
}

/** A stored value. */
inline Array value(const std::string& folder, const json::Value& entry, int64_t place) {
  if (entry.has("files")) return npy(file_of(folder + entry["files"].items.at(static_cast<size_t>(place)).text));
  Array whole = npy(file_of(folder + entry["stacked"].text));
  size_t size = whole.bytes.size() / static_cast<size_t>(whole.shape.at(0));
  return {whole.numpy, Shape(whole.shape.begin() + 1, whole.shape.end()), whole.bytes.substr(static_cast<size_t>(place) * size, size)};
}

inline double half(unsigned bits) {
  int exponent = static_cast<int>(bits >> 10 & 31);
  double rest = bits & 1023, size;
  if (exponent == 31) size = rest ? std::nan("") : INFINITY;
  else size = exponent ? std::ldexp(1 + rest / 1024, exponent - 15) : std::ldexp(rest / 1024, -14);
  return bits & 0x8000 ? -size : size;
}

/** The numbers of a floating-point value; none for any other. */
inline std::vector<double> floats(const std::string& bytes, const Type& type) {
  std::vector<double> found(type.numpy[1] == 'f' || *type.stated ? bytes.size() / type.size : 0);
  for (size_t i = 0; i < found.size(); ++i) {
    const char* at = bytes.data() + i * type.size;
    uint16_t bits = 0;
    float single;
    if (type.size == 2) std::memcpy(&bits, at, 2);
    if (type.size == 8) {
      std::memcpy(&found[i], at, 8);
    } else if (type.size == 4) {
      std::memcpy(&single, at, 4);
      found[i] = single;
    } else if (*type.stated) {
      uint32_t wide = static_cast<uint32_t>(bits) << 16;
      std::memcpy(&single, &wide, 4);
      found[i] = single;
    } else {
      found[i] = half(bits);
    }
  }
  return found;
}

/** What is wrong with an output; empty where nothing is. Numbers may lie apart by a share of the largest one. */
inline std::string differs(const Array& found, const Array& expected, const Type& type, double tolerance) {
  if (found.shape != expected.shape) return "shape " + written(found.shape) + ", expected " + written(expected.shape);
  if (is_text(type.numpy)) {
    std::vector<std::string> own = words_of(found), other = words_of(expected);
    size_t wrong = 0;
    for (size_t i = 0; i < own.size(); ++i) wrong += own[i] != other[i];
    return wrong ? std::to_string(wrong) + " of " + std::to_string(own.size()) + " values differ" : "";
  }
  if (expected.numpy != type.numpy) return std::string(type.numpy) + ", expected " + expected.numpy;
  std::vector<double> own = floats(found.bytes, type), other = floats(expected.bytes, type);
  if (other.empty()) {
    size_t wrong = 0, all = static_cast<size_t>(count(expected.shape));
    for (size_t i = 0; i < all; ++i) wrong += found.bytes.compare(i * type.size, type.size, expected.bytes, i * type.size, type.size) != 0;
    return wrong ? std::to_string(wrong) + " of " + std::to_string(all) + " values differ" : "";
  }
  double apart = 0, largest = 0;
  for (size_t i = 0; i < other.size(); ++i) {
    if (!std::isfinite(other[i]) || !std::isfinite(own[i])) {
      bool alike = std::isnan(other[i]) ? std::isnan(own[i]) : own[i] == other[i];
      if (!alike) return "infinite or not a number at other places";
      continue;
    }
    apart = std::max(apart, std::fabs(own[i] - other[i]));
    largest = std::max(largest, std::fabs(other[i]));
  }
  if (apart <= tolerance * largest) return "";
  return "differs by " + std::to_string(apart) + ", where the largest value is " + std::to_string(largest);
}

/** One sample: the bytes of every input, as the model takes them. */
inline std::vector<Array> fed(const std::string& folder, const json::Value& asked, const std::vector<Spec>& inputs, int64_t place) {
  std::vector<Array> made;
  for (const auto& spec : inputs)
    for (const auto& entry : asked["inputs"].items)
      if (entry["name"].text == spec.name) {
        Array given = value(folder, entry, place);
        if (is_text(given.numpy) != is_text(spec.type->numpy)) throw Refused("input", spec.name + " is fed " + given.numpy);
        made.push_back(is_text(given.numpy) ? given : Array{spec.type->numpy, given.shape, cast(given, spec.type->numpy)});
      }
  if (made.size() != inputs.size()) throw Refused("input", "session.json does not feed every input of the model");
  return made;
}

inline std::vector<Spec> specs(const Ort::Session& session, bool inputs) {
  Ort::AllocatorWithDefaultOptions allocator;
  std::vector<Spec> found;
  for (size_t i = 0; i < (inputs ? session.GetInputCount() : session.GetOutputCount()); ++i) {
    auto name = inputs ? session.GetInputNameAllocated(i, allocator) : session.GetOutputNameAllocated(i, allocator);
    Ort::TypeInfo info = inputs ? session.GetInputTypeInfo(i) : session.GetOutputTypeInfo(i);
    if (info.GetONNXType() != ONNX_TYPE_TENSOR) throw Refused("input", std::string(name.get()) + " is not a tensor");
    auto tensor = info.GetTensorTypeAndShapeInfo();
    found.push_back({name.get(), &type_of(tensor.GetElementType(), name.get()), tensor.GetShape(), {}});
  }
  return found;
}

/** Run one sample: the outputs in the model's order. */
inline std::vector<Array> run(Ort::Session& session, const std::vector<Spec>& inputs, const std::vector<Spec>& outputs, std::vector<Array>& feed) {
  Ort::MemoryInfo memory = Ort::MemoryInfo::CreateCpu(OrtDeviceAllocator, OrtMemTypeDefault);
  std::vector<Ort::Value> values;
  std::vector<const char*> names, wanted;
  for (size_t i = 0; i < inputs.size(); ++i) {
    names.push_back(inputs[i].name.c_str());
    values.push_back(value_of(feed[i], inputs[i], memory));
  }
  for (const auto& one : outputs) wanted.push_back(one.name.c_str());
  auto found = session.Run(Ort::RunOptions{nullptr}, names.data(), values.data(), values.size(), wanted.data(), wanted.size());
  std::vector<Array> made;
  for (size_t i = 0; i < found.size(); ++i) made.push_back(array_of(found[i], *outputs[i].type));
  return made;
}

/** Run every sample of a folder; 0 as expected, 1 not, 2 it does not run here. */
inline int check(std::string folder, std::ostream& say) {
  if (!folder.empty() && folder.back() != '/') folder += '/';
  try {
    json::Value asked = json::parse(file_of(folder + "session.json"));
    Ort::Env environment(ORT_LOGGING_LEVEL_ERROR, "example");
    std::string own = Ort::GetVersionString(), measured = asked["measured_by"]["version"].text;
    if (!measured.empty() && measured != own) {
      say << "measured with onnxruntime " << measured << ", this is " << own << ": times and outputs may differ\n";
    }
    Ort::Session session(environment, (folder + asked["model"].text).c_str(), session_options(asked));
    std::vector<Spec> inputs = specs(session, true), outputs = specs(session, false);
    int wrong = 0;
    for (int64_t place = 0; place < asked["samples"].whole(); ++place) {
      std::vector<Array> feed = fed(folder, asked, inputs, place), found = run(session, inputs, outputs, feed);
      for (size_t i = 0; i < outputs.size(); ++i) {
        const json::Value* entry = nullptr;
        for (const auto& one : asked["outputs"].items)
          if (one["name"].text == outputs[i].name) entry = &one;
        for (const auto& one : asked["random"].items)
          if (one.text == outputs[i].name) entry = nullptr;
        say << "sample " << place << ": " << outputs[i].name << " " << written(found[i].shape);
        if (!entry) {
          say << ", nothing to compare with\n";
          continue;
        }
        std::string why = differs(found[i], value(folder, *entry, place), *outputs[i].type, asked["tolerance"].number);
        wrong += !why.empty();
        say << ": " << (why.empty() ? "as expected" : why) << "\n";
      }
    }
    return wrong ? 1 : 0;
  } catch (const std::exception& error) {
    say << "it does not run here: " << error.what() << "\n";
    return 2;
  }
}

}  // namespace example
