// Values of values.hpp as onnxruntime's tensors; whoever includes this has included its C++ API.

#pragma once

#include <memory>

#include "values.hpp"

/** A value over the bytes of an array, which must outlive it; text is copied. */
inline Ort::Value value_of(Array& array, const Spec& spec, const OrtMemoryInfo* memory) {
  if (!is_text(spec.type->numpy)) {
    return Ort::Value::CreateTensor(memory, array.bytes.data(), array.bytes.size(), array.shape.data(), array.shape.size(),
                                    static_cast<ONNXTensorElementDataType>(spec.type->onnx));
  }
  Ort::AllocatorWithDefaultOptions allocator;
  Ort::Value made = Ort::Value::CreateTensor(allocator, array.shape.data(), array.shape.size(), ONNX_TENSOR_ELEMENT_DATA_TYPE_STRING);
  std::vector<std::string> words = words_of(array);
  std::vector<const char*> starts;
  for (const auto& one : words) starts.push_back(one.c_str());
  made.FillStringTensor(starts.data(), starts.size());
  return made;
}

/** A tensor's content, in memory of its own. */
inline Array array_of(Ort::Value& value, const Type& type) {
  Shape shape = value.GetTensorTypeAndShapeInfo().GetShape();
  size_t total = static_cast<size_t>(count(shape));
  if (!is_text(type.numpy)) {
    // Not GetTensorRawData(): it calls what releases before 1.23 do not have.
    const char* bytes = total ? static_cast<const char*>(value.GetTensorMutableRawData()) : "";
    return {type.numpy, shape, std::string(bytes, total * type.size)};
  }
  std::vector<std::string> words(total);
  if (total) {
    size_t size = value.GetStringTensorDataLength();
    std::string all(size, '\0');
    std::vector<size_t> starts(total);
    value.GetStringTensorContent(&all[0], size, starts.data(), total);
    for (size_t i = 0; i < total; ++i) words[i] = all.substr(starts[i], (i + 1 < total ? starts[i + 1] : size) - starts[i]);
  }
  return text_of(shape, words);
}
