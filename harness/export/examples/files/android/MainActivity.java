// Shows what the export gives on this phone: `adb logcat -s exported` has the same lines.

package onnxexample;

import android.app.Activity;
import android.os.Bundle;
import android.util.Log;
import android.widget.TextView;
import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.StandardCopyOption;

public final class MainActivity extends Activity {
  @Override
  public void onCreate(Bundle state) {
    super.onCreate(state);
    TextView view = new TextView(this);
    view.setText("running");
    setContentView(view);
    new Thread(() -> run(view)).start();
  }

  private void run(TextView view) {
    StringBuilder said = new StringBuilder();
    File folder = new File(getFilesDir(), "exported");
    int code = 2;
    try {
      copy("", folder);
      code = Example.check(folder, line -> said.append(line).append('\n'));
    } catch (IOException error) {
      said.append("the files could not be taken out of the application: ").append(error.getMessage()).append('\n');
    }
    said.append(new String[] {"as expected", "not as expected", "it does not run here"}[code]);
    Log.i("exported", said.toString());
    runOnUiThread(() -> view.setText(said));
  }

  /** onnxruntime opens files, and assets are none: they are copied once per start. */
  private void copy(String name, File to) throws IOException {
    String[] inside = getAssets().list(name);
    if (inside == null || inside.length == 0) {
      try (InputStream from = getAssets().open(name)) {
        Files.copy(from, to.toPath(), StandardCopyOption.REPLACE_EXISTING);
      }
      return;
    }
    Files.createDirectories(to.toPath());
    for (String one : inside) copy(name.isEmpty() ? one : name + "/" + one, new File(to, one));
  }
}
