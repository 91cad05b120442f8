// Checks the export in a folder; see Example.java, which does the work.
//
//   java -cp classes:onnxruntime.jar onnxexample.Main [FOLDER]     exit code 0: as expected, 1: not, 2: it does not run here

package onnxexample;

import java.io.File;

public final class Main {
  private Main() {}

  public static void main(String[] given) {
    System.exit(Example.check(new File(given.length > 0 ? given[0] : "."), System.out::println));
  }
}
