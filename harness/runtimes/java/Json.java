// As much JSON as the worker protocol needs: objects are maps, arrays lists, numbers doubles or longs.

package onnxexample;

import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

public final class Json {
  private final String source;
  private int at;

  private Json(String source) {
    this.source = source;
  }

  /** Text -> a map, list, string, long, double, boolean or null. */
  public static Object parse(String source) {
    Json reader = new Json(source);
    Object found = reader.value();
    reader.blank();
    if (reader.at != source.length()) throw reader.bad();
    return found;
  }

  @SuppressWarnings("unchecked")
  public static Map<String, Object> map(Object value) {
    return value instanceof Map ? (Map<String, Object>) value : Map.of();
  }

  @SuppressWarnings("unchecked")
  public static List<Object> list(Object value) {
    return value instanceof List ? (List<Object>) value : List.of();
  }

  public static String text(Object value) {
    return value == null ? "" : value.toString();
  }

  public static long whole(Object value, long otherwise) {
    return value instanceof Number ? ((Number) value).longValue() : otherwise;
  }

  /** The inverse of `parse`; arrays of long are written as well. */
  public static String written(Object value) {
    StringBuilder to = new StringBuilder();
    write(value, to);
    return to.toString();
  }

  private static void write(Object value, StringBuilder to) {
    if (value instanceof Map) {
      String next = "{";
      for (Map.Entry<?, ?> one : ((Map<?, ?>) value).entrySet()) {
        to.append(next);
        quote(one.getKey().toString(), to);
        to.append(':');
        write(one.getValue(), to);
        next = ",";
      }
      to.append(next.equals("{") ? "{}" : "}");
    } else if (value instanceof Iterable) {
      String next = "[";
      for (Object one : (Iterable<?>) value) {
        to.append(next);
        write(one, to);
        next = ",";
      }
      to.append(next.equals("[") ? "[]" : "]");
    } else if (value instanceof long[]) {
      String next = "[";
      for (long one : (long[]) value) {
        to.append(next).append(one);
        next = ",";
      }
      to.append(next.equals("[") ? "[]" : "]");
    } else if (value instanceof String) {
      quote((String) value, to);
    } else {
      to.append(value);
    }
  }

  private static void quote(String text, StringBuilder to) {
    to.append('"');
    for (char one : text.toCharArray()) {
      if (one == '"' || one == '\\') to.append('\\').append(one);
      else if (one < 0x20 || one > 0x7e) to.append(String.format("\\u%04x", (int) one));
      else to.append(one);
    }
    to.append('"');
  }

  private IllegalArgumentException bad() {
    return new IllegalArgumentException("not JSON at character " + at);
  }

  private void blank() {
    while (at < source.length() && " \t\r\n".indexOf(source.charAt(at)) >= 0) at++;
  }

  private char next() {
    if (at >= source.length()) throw bad();
    return source.charAt(at++);
  }

  private boolean follows(char wanted) {
    blank();
    if (at >= source.length() || source.charAt(at) != wanted) return false;
    at++;
    return true;
  }

  private Object value() {
    blank();
    if (at >= source.length()) throw bad();
    char first = source.charAt(at);
    if (first == '{') return object();
    if (first == '[') return array();
    if (first == '"') return string();
    int start = at;
    while (at < source.length() && ",]} \t\r\n".indexOf(source.charAt(at)) < 0) at++;
    String word = source.substring(start, at);
    switch (word) {
      case "true": return true;
      case "false": return false;
      case "null": return null;
      default: return number(word);
    }
  }

  private Object number(String word) {
    try {
      return word.matches("-?[0-9]+") ? (Object) Long.parseLong(word) : (Object) Double.parseDouble(word);
    } catch (NumberFormatException error) {
      throw bad();
    }
  }

  private Map<String, Object> object() {
    Map<String, Object> found = new LinkedHashMap<>();
    at++;
    if (follows('}')) return found;
    do {
      blank();
      String key = string();
      if (!follows(':')) throw bad();
      found.put(key, value());
    } while (follows(','));
    if (!follows('}')) throw bad();
    return found;
  }

  private List<Object> array() {
    List<Object> found = new ArrayList<>();
    at++;
    if (follows(']')) return found;
    do found.add(value());
    while (follows(','));
    if (!follows(']')) throw bad();
    return found;
  }

  private String string() {
    if (next() != '"') throw bad();
    StringBuilder found = new StringBuilder();
    for (char one = next(); one != '"'; one = next()) {
      if (one != '\\') {
        found.append(one);
        continue;
      }
      char escaped = next();
      switch (escaped) {
        case 'n': found.append('\n'); break;
        case 't': found.append('\t'); break;
        case 'r': found.append('\r'); break;
        case 'b': found.append('\b'); break;
        case 'f': found.append('\f'); break;
        case 'u':
          if (at + 4 > source.length()) throw bad();
          found.append((char) Integer.parseInt(source.substring(at, at + 4), 16));
          at += 4;
          break;
        default: found.append(escaped);
      }
    }
    return found.toString();
  }
}
