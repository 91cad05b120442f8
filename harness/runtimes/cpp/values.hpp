// Values as NumPy stores them, the examples of an input, and the files of an output.

#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <fstream>
#include <iterator>
#include <numeric>
#include <regex>
#include <stdexcept>
#include <string>
#include <vector>

#include "json.hpp"

/** The worker cannot serve the request; `kind` is one of the protocol's refusals. */
struct Refused : std::runtime_error {
  std::string kind;
  Refused(std::string kind, const std::string& message) : std::runtime_error(message), kind(std::move(kind)) {}
};

struct Type {
  int onnx;            // ONNX's number of it
  const char* name;    // as onnxruntime writes it, without tensor()
  const char* numpy;   // NumPy's, or of unsigned integers of the same bits
  size_t size;         // bytes of one element
  const char* stated;  // the entry's `type` where NumPy has none
};

inline const std::vector<Type>& types() {
  static const std::vector<Type> known = {
      {1, "float", "<f4", 4, ""},   {2, "uint8", "|u1", 1, ""},   {3, "int8", "|i1", 1, ""},
      {4, "uint16", "<u2", 2, ""},  {5, "int16", "<i2", 2, ""},   {6, "int32", "<i4", 4, ""},
      {7, "int64", "<i8", 8, ""},   {8, "string", "<U", 4, ""},   {9, "bool", "|b1", 1, ""},    {10, "float16", "<f2", 2, ""},
      {11, "double", "<f8", 8, ""}, {12, "uint32", "<u4", 4, ""}, {13, "uint64", "<u8", 8, ""},
      {16, "bfloat16", "<u2", 2, "bfloat16"},
  };
  return known;
}

inline const Type& type_of(int onnx, const std::string& name) {
  for (const auto& one : types())
    if (one.onnx == onnx) return one;
  throw Refused("not_implemented", "'" + name + "' has a type that the C++ worker cannot pass (number " +
                                       std::to_string(onnx) + " of ONNX); it passes tensors of numbers and of text");
}

using Shape = std::vector<int64_t>;

inline int64_t count(const Shape& shape) {
  return std::accumulate(shape.begin(), shape.end(), int64_t{1}, std::multiplies<int64_t>());
}

inline std::string written(const Shape& shape) { return json::numbers(shape); }

struct Array {
  std::string numpy;
  Shape shape;
  std::string bytes;
};

/** Text is NumPy's: so many code points for every word, of four bytes each, the rest zero. */
inline bool is_text(const std::string& numpy) { return numpy.compare(0, 2, "<U") == 0; }

inline std::string utf8(uint32_t point) {
  std::string found;
  if (point < 0x80) return found += static_cast<char>(point);
  int more = point < 0x800 ? 1 : point < 0x10000 ? 2 : 3;
  static const int first[] = {0, 0xC0, 0xE0, 0xF0};
  found += static_cast<char>(first[more] | static_cast<int>(point >> 6 * more));
  while (more--) found += static_cast<char>(0x80 | (point >> 6 * more & 63));
  return found;
}

/** The words of a text array, in UTF-8. */
inline std::vector<std::string> words_of(const Array& array) {
  size_t total = static_cast<size_t>(count(array.shape)), width = total ? array.bytes.size() / total / 4 : 0;
  std::vector<std::string> words(total);
  for (size_t i = 0; i < total; ++i)
    for (size_t at = 0; at < width; ++at) {
      uint32_t point;
      std::memcpy(&point, &array.bytes[4 * (i * width + at)], 4);
      if (point) words[i] += utf8(point);
    }
  return words;
}

/** Words in UTF-8 -> a text array of at least so many code points a word. */
inline Array text_of(const Shape& shape, const std::vector<std::string>& words, size_t width = 1) {
  std::vector<std::vector<uint32_t>> points;
  for (const auto& word : words) {
    points.emplace_back();
    for (size_t at = 0; at < word.size();) {
      unsigned char lead = static_cast<unsigned char>(word[at++]);
      int more = lead >= 0xF0 ? 3 : lead >= 0xE0 ? 2 : lead >= 0xC0 ? 1 : 0;
      uint32_t point = more ? lead & (0x3F >> more) : lead;
      while (more-- && at < word.size()) point = point << 6 | (static_cast<unsigned char>(word[at++]) & 63);
      points.back().push_back(point);
    }
    width = std::max(width, points.back().size());
  }
  std::string bytes(4 * width * words.size(), '\0');
  for (size_t i = 0; i < points.size(); ++i)
    if (!points[i].empty()) std::memcpy(&bytes[4 * i * width], points[i].data(), 4 * points[i].size());
  return {"<U" + std::to_string(width), shape, bytes};
}

/** Text arrays of one width, so that they can lie behind one another; anything else stays as it is. */
inline void of_one_width(std::vector<Array>& arrays) {
  size_t width = 1;
  for (const auto& one : arrays)
    if (is_text(one.numpy)) width = std::max<size_t>(width, std::stoul(one.numpy.substr(2)));
  for (auto& one : arrays)
    if (is_text(one.numpy)) one = text_of(one.shape, words_of(one), width);
}

inline std::string file_of(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) throw Refused("input", path + ": cannot be read");
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

/** An array that was stored with its first axis varying fastest, with its last axis varying fastest. */
inline void to_row_order(Array& array, size_t size) {
  std::string made(array.bytes.size(), '\0');
  Shape place(array.shape.size(), 0);
  for (int64_t to = 0; to < count(array.shape); ++to) {
    int64_t from = 0;
    for (size_t axis = place.size(); axis-- > 0;) from = from * array.shape[axis] + place[axis];
    std::memcpy(&made[to * size], &array.bytes[from * size], size);
    for (size_t axis = place.size(); axis-- > 0 && ++place[axis] == array.shape[axis];) place[axis] = 0;
  }
  array.bytes = std::move(made);
}

inline Array npy(const std::string& content) {
  if (content.size() < 12 || content.compare(0, 6, "\x93NUMPY")) throw Refused("input", "a feed is not a .npy file");
  auto byte = [&](size_t at) { return static_cast<size_t>(static_cast<unsigned char>(content[at])); };
  bool wide = byte(6) > 1;
  size_t start = wide ? 12 : 10, size = byte(8) | byte(9) << 8;
  if (wide) size |= byte(10) << 16 | byte(11) << 24;
  std::string header = content.substr(start, size);
  std::smatch descr, shape;
  if (!std::regex_search(header, descr, std::regex("'descr': *'([^']*)'")) ||
      !std::regex_search(header, shape, std::regex("'shape': *\\(([^)]*)\\)"))) {
    throw Refused("input", "a feed's .npy header cannot be read: " + header.substr(0, 80));
  }
  Array found{descr[1], {}, content.substr(start + size)};
  std::string sizes = shape[1];
  std::regex digits("[0-9]+");
  for (std::sregex_iterator one(sizes.begin(), sizes.end(), digits), end; one != end; ++one)
    found.shape.push_back(std::stoll(one->str()));
  if (std::regex_search(header, std::regex("'fortran_order': *True"))) {
    int64_t total = count(found.shape);
    if (total) to_row_order(found, found.bytes.size() / total);
  }
  return found;
}

inline std::string unbase64(const std::string& text) {
  static const std::string alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string found;
  unsigned held = 0, bits = 0;
  for (char one : text) {
    size_t digit = alphabet.find(one);
    if (digit == std::string::npos) continue;
    held = held << 6 | static_cast<unsigned>(digit);
    if ((bits += 6) >= 8) found += static_cast<char>(held >> (bits -= 8) & 255);
  }
  return found;
}

inline void save(const std::string& path, const std::string& numpy, const Shape& shape, const std::vector<std::string>& parts) {
  std::string sizes;
  for (auto one : shape) sizes += std::to_string(one) + ", ";
  if (shape.size() > 1) sizes.resize(sizes.size() - 2);
  std::string header = "{'descr': '" + numpy + "', 'fortran_order': False, 'shape': (" + sizes + "), }";
  header += std::string((64 - (header.size() + 11) % 64) % 64, ' ') + "\n";
  std::ofstream file(path, std::ios::binary);
  file << "\x93NUMPY" << '\1' << '\0' << static_cast<char>(header.size() & 255) << static_cast<char>(header.size() >> 8);
  file << header;
  for (const auto& part : parts) file << part;
  file.flush();
  if (!file) throw Refused("runtime", path + ": cannot be written");
}

template <typename From, typename To>
std::string converted(const std::string& bytes) {
  std::string made(bytes.size() / sizeof(From) * sizeof(To), '\0');
  for (size_t i = 0; i < bytes.size() / sizeof(From); ++i) {
    From from;
    std::memcpy(&from, &bytes[i * sizeof(From)], sizeof from);
    To to = static_cast<To>(from);
    std::memcpy(&made[i * sizeof(To)], &to, sizeof to);
  }
  return made;
}

template <typename From>
std::string converted_to(const std::string& numpy, const std::string& bytes) {
  if (numpy == "<f4") return converted<From, float>(bytes);
  if (numpy == "<f8") return converted<From, double>(bytes);
  if (numpy == "<i4") return converted<From, int32_t>(bytes);
  if (numpy == "<i8") return converted<From, int64_t>(bytes);
  if (numpy == "|u1") return converted<From, uint8_t>(bytes);
  if (numpy == "|b1") return converted<From, bool>(bytes);
  return "";
}

/** The bytes of an array as another of NumPy's types; empty where that is not known. */
inline std::string cast(const Array& array, const std::string& numpy) {
  if (array.numpy == numpy) return array.bytes;
  if (array.numpy == "<f4") return converted_to<float>(numpy, array.bytes);
  if (array.numpy == "<f8") return converted_to<double>(numpy, array.bytes);
  if (array.numpy == "<i4") return converted_to<int32_t>(numpy, array.bytes);
  if (array.numpy == "<i8") return converted_to<int64_t>(numpy, array.bytes);
  if (array.numpy == "|u1" || array.numpy == "|b1") return converted_to<uint8_t>(numpy, array.bytes);
  return "";
}

struct Spec {
  std::string name;
  const Type* type;
  Shape shape;  // -1 where it varies
  std::vector<std::string> axes;  // their names, empty where they have none
};

/** The examples of one input, as an entry of `feeds` describes them. */
class Examples {
 public:
  bool rows = false;
  Spec spec;

  Examples(const json::Value& feeds, const Spec& of) : spec(of) {
    if (!feeds.has(spec.name)) {
      std::string names;
      for (const auto& one : feeds.members) names += (names.empty() ? "" : ", ") + one.first;
      throw Refused("input", "no feed for input '" + spec.name + "'; feeds: " + (names.empty() ? "none" : names));
    }
    const json::Value& entry = feeds[spec.name];
    stated_ = entry["type"].text;
    rows = entry.has("concatenated");
    for (const auto& one : entry["files"].items) files_.push_back(one.text);
    for (const auto& one : entry["data"].items) {
      Array array{one["dtype"].text, {}, unbase64(one["base64"].text)};
      for (const auto& size : one["shape"].items) array.shape.push_back(size.whole());
      sent_.push_back(array);
    }
    if (rows || entry.has("stacked")) held_ = npy(file_of(rows ? entry["concatenated"].text : entry["stacked"].text));
    if (!stored()) throw Refused("input", "the feed of input '" + spec.name + "' holds no example");
  }

  int64_t stored() const {
    if (!files_.empty()) return static_cast<int64_t>(files_.size());
    if (!sent_.empty()) return static_cast<int64_t>(sent_.size());
    return held_.shape.empty() ? 0 : held_.shape[0];
  }

  /** The examples at `places`, one behind another along `axis`, of the model's type; the first where it is negative. */
  Array batch(const std::vector<int64_t>& places, int axis) const {
    Array chosen = whole(places[0]);
    if (rows) {
      if (!spec.shape.empty()) {
        chosen.shape.insert(chosen.shape.begin(), static_cast<int64_t>(places.size()));
        for (size_t i = 1; i < places.size(); ++i) chosen.bytes += whole(places[i]).bytes;
      }
    } else if (axis >= 0 && places.size() > 1) {
      chosen = joined(places, static_cast<size_t>(axis));
    }
    return fitting(chosen);
  }

 private:
  std::string stated_;
  std::vector<std::string> files_;
  std::vector<Array> sent_;
  Array held_;

  Array whole(int64_t place) const {
    place %= stored();
    if (!files_.empty()) return npy(file_of(files_[place]));
    if (!sent_.empty()) return sent_[place];
    Shape rest(held_.shape.begin() + 1, held_.shape.end());
    size_t size = held_.bytes.size() / held_.shape[0];
    return {held_.numpy, rest, held_.bytes.substr(place * size, size)};
  }

  Array joined(const std::vector<int64_t>& places, size_t axis) const {
    std::vector<Array> parts;
    for (auto place : places) parts.push_back(whole(place));
    of_one_width(parts);
    Array made{parts[0].numpy, parts[0].shape, ""};
    int64_t total = 0;
    for (const auto& one : parts) {
      Shape alike = one.shape;
      if (axis < alike.size() && alike.size() == made.shape.size()) alike[axis] = made.shape[axis];
      if (axis >= one.shape.size() || alike != made.shape || one.numpy != made.numpy) {
        throw Refused("batch", "the examples of input '" + spec.name + "' do not fit behind one another: " +
                                   written(made.shape) + " and " + written(one.shape));
      }
      total += one.shape[axis];
    }
    int64_t outer = count(Shape(made.shape.begin(), made.shape.begin() + static_cast<long>(axis)));
    for (int64_t block = 0; block < outer; ++block)
      for (const auto& one : parts) {
        size_t size = one.bytes.size() / static_cast<size_t>(outer);
        made.bytes += one.bytes.substr(block * size, size);
      }
    made.shape[axis] = total;
    return made;
  }

  Array fitting(Array chosen) const {
    const std::string what = std::string("input '") + spec.name + "' takes tensor(" + spec.type->name + "), and its feed is ";
    if (stated_ != spec.type->stated) throw Refused("input", what + (stated_.empty() ? chosen.numpy : stated_));
    if (is_text(spec.type->numpy)) {
      if (!is_text(chosen.numpy)) throw Refused("input", what + chosen.numpy);
      return chosen;
    }
    std::string bytes = cast(chosen, spec.type->numpy);
    if (bytes.size() != static_cast<size_t>(count(chosen.shape)) * spec.type->size) {
      throw Refused("input", what + chosen.numpy + " of shape " + written(chosen.shape));
    }
    return {spec.type->numpy, chosen.shape, bytes};
  }
};

/** The examples of one batch; as many batches as there are examples differ from one another. */
inline std::vector<int64_t> places_of(int64_t number, int64_t batch, int64_t stored) {
  int64_t different = stored / std::gcd(stored, batch);  // so many begin at an example of their own
  int64_t first = number * batch + number / different;
  std::vector<int64_t> found;
  for (int64_t i = 0; i < batch; ++i) found.push_back((first + i) % stored);
  return found;
}
